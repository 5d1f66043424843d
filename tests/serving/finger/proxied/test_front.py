# SPDX-License-Identifier: MIT
"""The socket for balancers: whom a header names is the client, and nobody else says who that is."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import time
from typing import Any

import pytest

from fingerd_sd.config.server import Limits
from fingerd_sd.directory.answer import FOUND, LIMIT, TIMEOUT
from fingerd_sd.directory.lookup import Directory
from fingerd_sd.directory.ruip import Ruip
from fingerd_sd.directory.source import Mounted
from fingerd_sd.policy.audience import Audience
from fingerd_sd.policy.rules import Policy
from fingerd_sd.protocol.entry import Person
from fingerd_sd.serving.finger.proxied import front
from fingerd_sd.serving.finger.proxied.front import Proxied
from fingerd_sd.serving.finger.proxied.header import SIGNATURE, Header, _named
from fingerd_sd.serving.finger.service import Finger, Setup
from fingerd_sd.serving.waiting.bursts import nothing
from fingerd_sd.sources.static.source import StaticSource

from ....helpers.houses import village
from ....helpers.wire import Peer, Serving, run, serving, turns
from ....helpers.wire_cases import HAPPY, LIMITED, NO_FORWARDING, NO_LIST, NOBODY

CLIENT = b"PROXY TCP4 192.0.2.7 198.51.100.1 51234 79\r\n"
OTHER = b"PROXY TCP6 2001:db8::7 2001:db8:1::1 51234 79\r\n"
LOCAL = SIGNATURE + b"\x20\0\0\0"
INSIDE = b"Login: alice          \t\t\tName: Alice\r\nOffice: Hill 016\r\nPlan:\r\nx\r\n"
OUTSIDE = b"Login: alice          \t\t\tName: Alice\r\nPlan:\r\nx\r\n"


def two_audiences(rate: int = 0) -> Ruip:
    """One audience, of 192.0.2.0/24, sees the office of alice."""
    inside = Audience(
        "inside",
        (ipaddress.ip_network("192.0.2.0/24"),),
        frozenset(("name", "plan", "office")),
        rate=rate,
    )
    source = StaticSource("static")
    source.add("alice", Person("alice", name="Alice", office="Hill 016", plan="x"))
    policy = Policy([inside], names=["finger.example"])
    return Ruip(policy, Directory([Mounted(source)]), time.monotonic)


async def ask(house: Serving, octets: bytes) -> bytes:
    """Return all that the server sends to who sends `octets`, header and line, as a balancer."""
    with Peer(house.listeners["proxy"]) as peer:
        await peer.send(octets)
        return await peer.receive()


def test_the_audience_is_that_of_the_client_and_so_is_the_log() -> None:
    async def scenario() -> None:
        async with serving(two_audiences()) as house:
            for _ in range(2):  # the second is a kept answer
                assert await ask(house, CLIENT + b"alice\r\n") == INSIDE
                assert await ask(house, OTHER + b"alice\r\n") == OUTSIDE
            clients = [(logged.client.address, logged.client.audience.name) for logged in house.log]
            assert clients == [("192.0.2.7", "inside"), ("2001:db8::7", "everyone")] * 2
            assert house.server.held == 0  # all on the spot

    run(scenario())


def test_the_rate_is_that_of_the_client() -> None:
    async def scenario() -> None:
        async with serving(two_audiences(rate=1)) as house:
            assert await ask(house, CLIENT + b"alice\r\n") == INSIDE
            assert await ask(house, CLIENT + b"alice\r\n") == LIMITED
            again = CLIENT.replace(b"192.0.2.7", b"192.0.2.8")
            assert await ask(house, again + b"alice\r\n") == INSIDE
            assert [logged.answer.result for logged in house.log] == [FOUND, FOUND]
            assert house.server.counts[LIMIT] == 1

    run(scenario())


def test_the_connections_that_are_open_are_those_of_the_client() -> None:
    async def scenario() -> None:
        async with serving(two_audiences(), Limits(max_per_client=2)) as house:
            waiting = [Peer(house.listeners["proxy"]) for _ in range(3)]
            for peer in waiting[:2]:
                await peer.send(CLIENT + b"al")
            await turns()
            assert await ask(house, CLIENT + b"alice\r\n") == LIMITED
            assert await ask(house, OTHER + b"alice\r\n") == OUTSIDE
            await waiting[2].send(CLIENT[:9])  # of whom nobody knows yet whose it is
            for peer in waiting[:2]:
                await peer.send(b"ice\r\n")
                assert await peer.receive() == INSIDE
            await waiting[2].send(CLIENT[9:] + b"alice\r\n")
            assert await waiting[2].receive() == INSIDE
            for peer in waiting:
                peer.sock.close()

    run(scenario())


@pytest.mark.parametrize("header", [LOCAL, b"PROXY UNKNOWN\r\n"])
def test_a_header_that_names_nobody_means_the_balancer(header: bytes) -> None:
    async def scenario() -> None:
        async with serving(village()) as house:
            assert await ask(house, header + b"moshez\r\n") == HAPPY
            assert house.log[0].client.address == "127.0.0.1"
            with Peer(house.listeners["proxy, unix"]) as peer:
                await peer.send(header + b"moshez\r\n")
                assert await peer.receive() == HAPPY
            assert house.log[1].client.address == "local"

    run(scenario())


def test_a_balancer_that_only_looks_is_no_query(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with serving(village()) as house:
            for octets in (b"", LOCAL, CLIENT[:20]):
                with Peer(house.listeners["proxy"]) as peer:
                    await peer.send(octets)
                    peer.end()
                    assert await peer.receive() == b""
                await house.settled()
            assert house.log == []

    run(scenario())
    assert caplog.records == []


def test_the_host_of_a_query_may_be_the_address_that_the_client_connected_to() -> None:
    async def scenario() -> None:
        async with serving(two_audiences()) as house:
            for header, here in ((CLIENT, b"198.51.100.1"), (OTHER, b"[2001:db8:1::1]")):
                said = await ask(house, header + b"alice@" + here + b"\r\n")
                assert said in (INSIDE, OUTSIDE)
            assert await ask(house, CLIENT + b"alice@127.0.0.1\r\n") == NO_FORWARDING
            with Peer(house.listeners["proxy"]) as peer:  # in parts
                await peer.send(CLIENT)
                await turns()
                await peer.send(b"alice@198.51.100.1\r\n")
                assert await peer.receive() == INSIDE

    run(scenario())


def test_what_begins_with_no_header_is_closed_without_an_answer(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with serving(village()) as house:
            for octets in (b"moshez\r\n", CLIENT[:-2] + b"\n", SIGNATURE + b"\x21\x11\xff\xff"):
                assert await ask(house, octets) == b""
            monkeypatch.setattr(front, "TOLD_EVERY", 0.0)
            with Peer(house.listeners["proxy"]) as peer:
                await peer.send(CLIENT[:30])
                await turns()
                await peer.send(b"\r\n")
                assert await peer.receive() == b""
            assert house.log == []

    run(scenario())
    first, second = caplog.messages  # not one for each
    assert first == (
        "A connection from 127.0.0.1 to the socket for balancers is closed: it begins with no"
        " header: have the balancer send one (send-proxy)"
    )
    assert "malformed" in second
    assert all(record.levelno == logging.WARNING for record in caplog.records)


def test_whom_headers_have_named_is_forgotten_when_memory_is_short() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        setup = Setup(village(), Limits(), None, 0)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            finger = Finger(loop, setup, proxied=[listener])
            finger.start([listener])
            for _ in range(2):
                with Peer(listener) as peer:
                    await peer.send(CLIENT + b"moshez\r\n")
                    assert await peer.receive() == HAPPY
                assert _named.cache_info().currsize
                finger.give_back()
                assert _named.cache_info().currsize == 0
            finger.stop_accepting()
            await finger.close()

    run(scenario())


def test_on_port_79_a_header_is_a_query_like_any_other() -> None:
    async def scenario() -> None:
        async with serving(village()) as house:
            assert await house.ask(CLIENT + b"alice\r\n") == NOBODY
            assert await house.ask(LOCAL + b"alice\r\n") == NO_LIST  # its first line is empty
            assert {logged.client.address for logged in house.log} == {"127.0.0.1"}

    run(scenario())


def test_a_slow_header_has_the_time_of_a_line() -> None:
    async def scenario() -> None:
        async with serving(village(), Limits(query_timeout=0.05)) as house:
            with Peer(house.listeners["proxy"]) as peer:
                await peer.send(CLIENT[:20])
                assert await peer.receive() == b""
            with Peer(house.listeners["proxy"]) as peer:
                await peer.send(CLIENT + b"mos")
                assert await peer.receive() == b""
            clients = [(logged.answer.result, logged.client.address) for logged in house.log]
            assert clients == [(TIMEOUT, "127.0.0.1"), (TIMEOUT, "192.0.2.7")]

    run(scenario())


def test_who_is_in_the_middle_of_a_header_is_answered_before_the_process_leaves() -> None:
    async def scenario() -> None:
        async with serving(village()) as house:
            with Peer(house.listeners["proxy"]) as peer:
                await peer.send(CLIENT[:20])
                await turns()
                leaving = asyncio.create_task(house.server.drain())
                await turns()
                assert not leaving.done()
                await peer.send(CLIENT[20:])
                await turns()
                assert not leaving.done()
                await peer.send(b"moshez\r\n")
                assert await peer.receive() == HAPPY
            await leaving

    run(scenario())


class Given:
    """A server that only sees which client it is given."""

    def __init__(self) -> None:
        self.loop: Any = None
        self.connections: set[Any] = set()
        self.acceptors: list[Any] = []
        self.burst = nothing
        self.client = ""

    def is_full(self) -> bool:
        return False

    def changed(self) -> None:
        pass

    def begin(self, _sock: object, peer: str, *_: object) -> None:
        self.client = peer


@pytest.mark.parametrize(
    ("client", "balancer", "is_client"),
    [
        ("127.0.0.1", "192.0.2.1", "192.0.2.1"),
        ("127.9.9.9", "2001:db8::1", "2001:db8::1"),
        ("::1", "192.0.2.1", "192.0.2.1"),
        ("::ffff:127.0.0.1", "192.0.2.1", "192.0.2.1"),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("::1", "::ffff:127.0.0.1", "::1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("192.0.2.7", "192.0.2.1", "192.0.2.7"),
    ],
)
def test_a_client_on_the_balancers_machine_is_none_of_this_machine(
    client: str, balancer: str, is_client: str
) -> None:
    given: Any = Given()
    sock: Any = None
    Proxied(given).go_on(Header(9, client), sock, balancer, b"x" * 9, 0.0)
    assert given.client == is_client
