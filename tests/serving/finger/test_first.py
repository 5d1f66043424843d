# SPDX-License-Identifier: MIT
"""First answers: given without a loop, and what is handed over to the server is not lost."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import pytest

from fingerd_sd.config.server import Limits
from fingerd_sd.directory.answer import ABSENT, FOUND, LIMIT
from fingerd_sd.directory.ruip import Begun, Ruip
from fingerd_sd.policy.audience import Audience
from fingerd_sd.protocol.entry import Text
from fingerd_sd.serving.finger import first
from fingerd_sd.serving.finger.first import Taken, answer_first
from fingerd_sd.serving.finger.service import adopt

from ...helpers.houses import Told, everyone, ruip, static, village
from ...helpers.wire import Peer, Serving, run, serving

MANY = 1 << 20  # octets: more than a socket's buffer takes


def taken(
    sent: Sequence[bytes], house: Ruip, limits: Limits | None = None
) -> tuple[list[Taken], list[Peer]]:
    """Return what is taken of clients that have sent `sent`, and the clients."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peers = [Peer(listener) for _ in sent]
        for peer, octets in zip(peers, sent, strict=True):
            peer.sock.send(octets)
        return answer_first([listener.fileno()], house, limits or Limits()), peers


async def all_of(house: Serving, found: list[Taken], peers: list[Peer]) -> list[bytes]:
    """Return what each client gets in the end, once the server has adopted them."""
    house.peers += peers
    adopt(house.server, found)
    return [await peer.receive() for peer in peers]


def test_who_can_be_answered_is_answered_without_a_loop() -> None:
    found, (alice, nobody) = taken([b"moshez\r\n", b"nobody\r\n"], village())
    assert alice.sock.recv(100) == b"Happy and well\r\n"
    assert nobody.sock.recv(100) == b"No such user\r\n"
    assert alice.was_closed_by_fin()
    assert all(one.ended >= one.started > 0 for one in found)
    for peer in (alice, nobody):
        peer.sock.close()


def test_what_was_answered_is_counted_and_logged_once() -> None:
    async def scenario() -> None:
        house = village()
        found, peers = taken([b"moshez\r\n", b"nobody\r\n"], house)
        async with serving(house) as served:
            await all_of(served, found, peers)
            assert served.server.taken == 2
            assert served.server.counts[FOUND] == served.server.counts[ABSENT] == 1
            told = [(one.answer.query, one.sent, one.usec) for one in served.log]
            times = [int((one.ended - one.started) * 1e6) for one in found]
            assert told == [("moshez", 16, times[0]), ("nobody", 14, times[1])]

    run(scenario())


@pytest.mark.parametrize("line", [b"", b"mos", b"moshez", b"moshez\r\nmore\r\n"])
def test_half_a_line_and_more_than_one_go_on_in_the_loop(line: bytes) -> None:
    async def scenario() -> None:
        house = village()
        found, peers = taken([line], house)
        assert [(one.said, one.ended) for one in found] == [(None, 0)]
        async with serving(house) as served:
            adopt(served.server, found)
            assert served.server.open <= 1
            if not line.endswith(b"\n"):
                await peers[0].send(b"moshez\r\n"[len(line) :])
            assert await peers[0].receive() == b"Happy and well\r\n"
            peers[0].sock.close()

    run(scenario())


def test_who_must_be_waited_for_is_asked_once_and_admitted_once() -> None:
    async def scenario() -> None:
        slow = Told(Text("at last"))
        house = ruip(static({"moshez": Text("hi")}), slow, audiences=[everyone(rate=1)])
        found, peers = taken([b"slow\r\n"], house)
        assert isinstance(found[0].said, Begun)
        async with serving(house) as served:
            assert await all_of(served, found, peers) == [b"at last\r\n"]
            assert slow.asked == ["slow"]
            assert [one.answer.result for one in served.log] == [FOUND]
            await served.ask(b"moshez\r\n")  # the one query of this minute was the first
            assert served.server.counts[LIMIT] == 1

    run(scenario())


def test_a_large_answer_goes_on_in_the_loop() -> None:
    async def scenario() -> None:
        house = ruip(static({"long": Text("x" * MANY)}))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            peer = Peer(listener, receive_buffer=4096)
            peer.sock.send(b"long\r\n")
            found = answer_first([listener.fileno()], house, Limits())
        assert 0 < found[0].sent < MANY
        assert not found[0].ended
        async with serving(house) as served:
            (answer,) = await all_of(served, found, [peer])
            assert len(answer) == served.log[0].sent > MANY // 2
            assert answer == served.log[0].answer.octets

    run(scenario())


def test_the_caps_hold() -> None:
    async def scenario() -> None:
        house = village()
        limits = Limits(max_per_client=2)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            peers = [Peer(listener) for _ in range(4)]  # silent: they stay open
            found = answer_first([listener.fileno()], house, limits)
            assert len(found) == 2  # the others wait for the server, which tells them
            rest = answer_first([listener.fileno()], house, Limits(max_connections=1))
            assert len(rest) == 1
        async with serving(house, limits) as served:
            adopt(served.server, found + rest)
            assert b"Too many queries" in await peers[2].receive()
            for peer in peers:
                peer.sock.close()

    run(scenario())


def test_it_takes_a_burst_and_leaves_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first, "MOST", 3)
    found, peers = taken([b"moshez\r\n"] * 5, village())
    assert len(found) == 3
    for peer in peers:
        peer.sock.close()


def test_who_has_gone_away_is_no_query() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        Peer(listener).reset()
        peer = Peer(listener)
        peer.sock.send(b"moshez\r\n")
        found = answer_first([listener.fileno()], village(), Limits())
        assert peer.sock.recv(100) == b"Happy and well\r\n"
        peer.sock.close()
    assert [one.peer for one in found] == ["127.0.0.1"]


def test_the_descriptor_stays_a_listening_socket_and_others_are_left_alone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as other:
        descriptors = [other.fileno(), listener.fileno(), 9999]
        assert answer_first(descriptors, village(), Limits()) == []
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        with Peer(listener) as peer:
            peer.sock.send(b"moshez\r\n")
            assert len(answer_first(descriptors, village(), Limits())) == 1


def test_rates_hold_from_the_first_query_on() -> None:
    audience = Audience("here", rate=2)
    found, peers = taken([b"moshez\r\n"] * 3, ruip(static({}), audiences=[audience]))
    results = [one.said.result for one in found if one.said and not isinstance(one.said, Begun)]
    assert results == [ABSENT, LIMIT, LIMIT]  # an absence costs four
    for peer in peers:
        peer.sock.close()
