# SPDX-License-Identifier: MIT
"""Every row of wire_cases.py: through the parser, through Ruip, and over real sockets, in every way
that octets can arrive, by the ordinary path and by the fast one.
"""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NoReturn

import pytest

from fingerd_sd.config.server import Limits
from fingerd_sd.directory.answer import BAD, Answer
from fingerd_sd.directory.lookup import Directory
from fingerd_sd.directory.ruip import Ruip
from fingerd_sd.directory.source import Mounted
from fingerd_sd.policy.rules import Client, Policy
from fingerd_sd.protocol.entry import Text
from fingerd_sd.protocol.query import QueryError, line_length, parse

from ...helpers.houses import Told, village, waited
from ...helpers.wire import HEADERS, Peer, run, serving, turns
from ...helpers.wire_cases import ALICE, CASES, HAPPY, MALFORMED, NO_FORWARDING, Case

Feeding = Callable[[Peer, Case], Awaitable[None]]

MAX_QUERY = Limits().max_query
# More than the server reads at once, so that some of it is unread when the answer goes out.
JUNK = b"moshez\r\n\xff\xf4\0" * 1024

EVERY = pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES])
IN_TIME = [case for case in CASES if len(case.sent) <= MAX_QUERY]


async def _whole(peer: Peer, case: Case) -> None:
    await peer.send(case.sent)


async def _octet_by_octet(peer: Peer, case: Case) -> None:
    await turns()
    one_by_one = case.sent[: MAX_QUERY + 8]
    for octet in one_by_one:
        await peer.send(bytes([octet]))
        await turns()
    await peer.send(case.sent[len(one_by_one) :])


async def _in_three(peer: Peer, case: Case) -> None:
    third = len(case.sent) // 3
    for part in (case.sent[:third], case.sent[third : 2 * third], case.sent[2 * third :]):
        if part:
            await peer.send(part)
        await turns()


async def _with_octets_behind(peer: Peer, case: Case) -> None:
    await peer.send(case.sent + JUNK)


async def _slowly_with_octets_behind(peer: Peer, case: Case) -> None:
    half = len(case.sent) // 2
    await turns()
    await peer.send(case.sent[:half])
    await turns()
    await peer.send(case.sent[half:] + JUNK)


WAYS: dict[str, Feeding] = {
    "whole": _whole,
    "octet by octet": _octet_by_octet,
    "in three sends": _in_three,
    "with octets behind": _with_octets_behind,
    "slowly with octets behind": _slowly_with_octets_behind,
}


@EVERY
def test_the_parser_reads(case: Case) -> None:
    if case.asks is not None:
        assert parse(case.sent) == case.asks
    elif case.sent and len(case.sent) <= MAX_QUERY:
        with pytest.raises(QueryError):
            parse(case.sent)
    else:  # not one line to be read: the server's limits answer it
        assert not case.sent or line_length(case.sent) in {0, len(case.sent)}


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in IN_TIME if case.sent])
def test_ruip_answers_and_answers_the_same_when_ready(case: Case) -> None:
    async def scenario() -> None:
        ruip = case.house()
        client = ruip.policy.client("192.0.2.1")
        first = await ruip.answer(case.sent, client)
        assert first.octets == case.answer
        again = ruip.ready(case.sent, client, time.monotonic())
        assert again == first if case.ready or case.fin else again is None

    run(scenario())


def _can_be_fed(case: Case, way: str) -> bool:
    """Whether `way` leaves the line of `case` what it is: an end of its own, or no more octets."""
    return "behind" not in way or not case.fin or case.sent.endswith(b"\r")


@pytest.mark.parametrize("over", ["tcp", "unix", *HEADERS])
@pytest.mark.parametrize(
    ("case", "way"),
    [
        pytest.param(case, way, id=f"{case.id}, {way}")
        for case in CASES
        for way in WAYS
        if _can_be_fed(case, way)
    ],
)
def test_the_server_answers(case: Case, way: str, over: str) -> None:
    """The first query looks the user up, at once or waiting; the second finds a ready answer."""
    fin = case.fin and "behind" not in way

    async def scenario(ruip: Ruip) -> None:
        async with serving(ruip, Limits(miss_time=0)) as house:
            for _ in range(2):
                with house.connect(over) as peer:
                    await WAYS[way](peer, case)
                    if fin:
                        peer.end()
                    assert await peer.receive() == case.answer
                    assert fin or peer.was_closed_by_fin()
                await house.settled()
            assert [logged.sent for logged in house.log] == [len(case.answer)] * 2 * bool(case.sent)

    run(scenario(case.house()))
    if over == "tcp":  # what is waited for knows no kind of socket
        run(scenario(waited(case.house())))


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.id) for case in CASES if case.ready and not case.fin]
)
@pytest.mark.parametrize("over", ["tcp", "unix", *HEADERS])
@pytest.mark.parametrize("first", ["at once", "waited for"])
def test_an_answer_is_given_on_the_spot(case: Case, over: str, first: str) -> None:
    """From the first query on where nobody must be waited for, else from the second."""

    async def scenario() -> None:
        at_once = first == "at once"
        ruip = case.house() if at_once else waited(case.house())
        async with serving(ruip, Limits(miss_time=0)) as house:
            assert await house.ask(case.sent, over) == case.answer
            await house.settled()
            held = house.server.held
            assert not held or not at_once
            with house.connect(over) as peer:
                await peer.send(case.sent)
                assert await peer.receive() == case.answer
                assert peer.was_closed_by_fin()
            assert house.server.held == held
            assert house.log[0].answer == house.log[1].answer

    run(scenario())


@pytest.mark.parametrize("over", ["tcp", "unix"])
def test_an_answer_stays_readable_where_octets_come_after_the_end(over: str) -> None:
    async def scenario() -> None:
        async with serving(village()) as house:
            for _ in range(2):
                with house.connect(over) as peer:
                    await peer.send(b"alice\r\n")
                    await house.settled()
                    await turns()
                    with suppress(OSError):  # the server is gone: the answer must not be
                        await peer.send(JUNK)
                    assert await peer.receive(len(ALICE)) == ALICE

    run(scenario())


@pytest.mark.parametrize("over", ["tcp", "unix"])
@pytest.mark.parametrize("lifetime", [0, math.inf], ids=["never ready", "ready"])
def test_octets_that_come_while_the_answer_goes_out_do_not_cost_it(
    lifetime: float, over: str
) -> None:
    """They come at the worst moment: the line has been read, the answer is about to be sent."""

    async def scenario() -> None:
        talkative: list[Peer] = []

        class Interrupted(Ruip):
            def ready(self, line: bytes, client: Client, now: float) -> Answer | None:
                answer = super().ready(line, client, now)
                for peer in talkative:
                    peer.sock.send(JUNK)
                return answer

        source = Told(Text("Happy and well"), lifetime=lifetime)
        directory = Directory([Mounted(source)])
        async with serving(Interrupted(Policy([]), directory, time.monotonic)) as house:
            assert await house.ask(b"moshez\r\n", over) == HAPPY
            with house.connect(over) as peer:
                talkative.append(peer)
                await peer.send(b"moshez\r\n")
                assert await peer.receive(len(HAPPY)) == HAPPY

    run(scenario())


def test_shutting_one_side_down_does_not_cut_the_answer() -> None:
    async def scenario() -> None:
        async with serving(village()) as house:
            for line in (b"alice\r\n", b"alice", b"alice\r\n"):
                with house.connect() as peer:
                    await peer.send(line)
                    peer.end()
                    assert await peer.receive() == ALICE

    run(scenario())


def test_a_chain_of_hosts_is_refused_and_connects_to_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """CVE-1999-0105, CVE-1999-0106: `a@localhost@localhost…` made a server call itself."""

    def connect(*_: object) -> NoReturn:
        raise AssertionError("an outbound connection")

    async def scenario() -> None:
        ruip = village()
        client = ruip.policy.client("192.0.2.1")
        for name in ("connect", "connect_ex"):
            monkeypatch.setattr(socket.socket, name, connect)
        monkeypatch.setattr(socket, "create_connection", connect)
        chain = b"a" + b"@localhost" * 500 + b"\r\n"
        assert (await ruip.answer(chain, client)).octets == NO_FORWARDING

    run(scenario())


def test_a_chain_of_hosts_within_the_limit_is_refused_over_the_wire() -> None:
    async def scenario() -> None:
        async with serving(village(), Limits(max_query=8192)) as house:
            for _ in range(2):
                assert await house.ask(b"a" + b"@localhost" * 500 + b"\r\n") == NO_FORWARDING

    run(scenario())


def test_no_name_is_looked_up_before_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """CVE-2002-0423: the client's name was asked for, and was long, or slow to come."""
    asked: list[str] = []

    def spy(name: str) -> Callable[..., NoReturn]:
        def look_up(*_: object) -> NoReturn:
            asked.append(name)
            raise AssertionError(name)

        return look_up

    async def scenario() -> None:
        async with serving(village()) as house:
            names = ("gethostbyaddr", "getnameinfo", "getfqdn", "gethostbyname", "getaddrinfo")
            for name in names:
                monkeypatch.setattr(socket, name, spy(name))
            for _ in range(2):
                assert await house.ask(b"alice\r\n") == ALICE

    run(scenario())
    assert asked == []


def test_what_the_peer_sent_is_one_escaped_line_in_the_log() -> None:
    """CVE-2001-0609, CVE-2013-1049: formats, line feeds and ESC in a query."""
    sent = [
        b"%n%s",
        b"a\nMESSAGE=forged",
        b"\x1b]0;x\x07",
        b"\xff\xfe\xfd",
        b"a\rb",
        "ł\\".encode(),
    ]

    async def scenario() -> list[str]:
        async with serving(village()) as house:
            for line in sent:
                await house.ask(line + b"\r\n")
            return [logged.answer.query for logged in house.log]

    told = run(scenario())
    assert told == ["%n%s", "a", r"\x1b]0;x\x07", r"\xff\xfe\xfd", "a", "ł\\\\"]


def test_the_answer_to_a_malformed_line_is_not_remembered() -> None:
    """A flood of rubbish must not push out the answers that people ask for."""

    async def scenario() -> None:
        async with serving(village()) as house:
            for _ in range(2):
                assert await house.ask(b"\0\r\n") == MALFORMED
                await house.settled()
            client = house.server.ruip.policy.client("127.0.0.1")
            assert house.server.ruip.ready(b"\0\r\n", client, time.monotonic()) is None
            assert house.server.counts[BAD] == 2

    run(scenario())
