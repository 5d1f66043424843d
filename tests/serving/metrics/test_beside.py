# SPDX-License-Identifier: MIT
"""The socket of the metrics: what scrapers may do, and that clients of finger do not notice."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from fingerd_sd.config.server import Limits
from fingerd_sd.serving.finger.service import Finger, Setup
from fingerd_sd.serving.metrics import service
from fingerd_sd.serving.metrics.counts import Figures
from fingerd_sd.serving.metrics.service import BUSY, LATE, MAX_REQUEST, TOO_LARGE, Beside

from ...helpers.houses import village
from ...helpers.wire import Peer, descriptors_left, run, until
from ...helpers.wire_cases import HAPPY
from .figures import figures, read

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"


@dataclass
class Both:
    """Finger and metrics, served. `looked`: how often the figures were asked for."""

    finger: socket.socket
    metrics: socket.socket
    it: Beside[Setup] = field(init=False)
    peers: list[Peer] = field(default_factory=list)
    looked: int = 0

    def look(self) -> Figures:
        self.looked += 1
        return figures()

    def connect(self) -> Peer:
        self.peers.append(Peer(self.metrics))
        return self.peers[-1]

    async def scrape(self, request: bytes = HEALTH) -> bytes:
        with Peer(self.metrics) as peer:
            await peer.send(request)
            return await peer.receive()

    async def ask(self) -> bytes:
        with Peer(self.finger) as peer:
            await peer.send(b"moshez\r\n")
            return await peer.receive()


@asynccontextmanager
async def both() -> AsyncIterator[Both]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    loop = asyncio.get_running_loop()
    finger = Finger(loop, Setup(village(), Limits(), None, 0))
    house = Both(listeners[0], listeners[1])
    house.it = it = Beside(loop, finger, listeners[1:], house.look)
    it.start(listeners)
    try:
        yield house
    finally:
        it.stop_accepting()
        await it.drain()
        await it.close()
        for sock in (*listeners, *(peer.sock for peer in house.peers)):
            sock.close()


@pytest.fixture(autouse=True)
def _prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "PACE", 0.0)


def test_each_socket_has_what_is_its_own() -> None:
    async def scenario() -> None:
        async with both() as house:
            assert await house.ask() == HAPPY
            assert read(await house.scrape()).body == b"serving\n"
            assert await house.ask() == HAPPY
            assert house.looked == 1

    run(scenario())


def test_a_request_may_come_octet_by_octet() -> None:
    async def scenario() -> None:
        async with both() as house:
            peer = house.connect()
            for octet in HEALTH:
                await peer.send(bytes([octet]))
                await asyncio.sleep(0)
            assert read(await peer.receive()).status == 200

    run(scenario())


def test_whoever_is_slow_is_told_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "REQUEST_TIME", 0.01)

    async def scenario() -> None:
        async with both() as house:
            slow, silent = house.connect(), house.connect()
            await slow.send(HEALTH[:-1])
            assert await slow.receive() == await silent.receive() == LATE
            assert house.looked == 0

    run(scenario())


def test_whoever_does_not_read_or_does_not_leave_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "WHOLE_TIME", 0.01)

    async def scenario() -> None:
        async with both() as house:
            peer = house.connect()
            await peer.send(HEALTH)
            await until(lambda: house.looked == 1)
            await until(lambda: not house.it._tasks)

    run(scenario())


@pytest.mark.parametrize("octets", [b"A" * 100_000, HEALTH[:-2] + b"A: b\r\n" * 20_000])
def test_an_endless_request_is_cut_off(octets: bytes) -> None:
    async def scenario() -> None:
        async with both() as house:
            peer = house.connect()
            sending = asyncio.create_task(peer.send(octets))
            assert await peer.receive(len(TOO_LARGE)) == TOO_LARGE
            peer.sock.close()
            sending.cancel()
            await asyncio.wait([sending])
            assert house.looked == 0
            assert await house.ask() == HAPPY

    run(scenario())


def test_the_largest_request_is_answered() -> None:
    async def scenario() -> None:
        async with both() as house:
            filling = MAX_REQUEST - len(HEALTH) - len(b"A: \r\n")
            request = HEALTH[:-2] + b"A: %s\r\n\r\n" % (b"b" * filling)
            assert len(request) == MAX_REQUEST
            assert read(await house.scrape(request)).status == 200

    run(scenario())


def test_who_goes_away_is_forgotten() -> None:
    async def scenario() -> None:
        async with both() as house:
            for octets in (b"", HEALTH[:9], HEALTH):
                for leave in (Peer.reset, Peer.end):
                    peer = house.connect()
                    await peer.send(octets)
                    leave(peer)
            await until(lambda: house.looked >= 1)
            for peer in house.peers:
                peer.sock.close()
            await until(lambda: not house.it._tasks)
            assert read(await house.scrape()).status == 200

    run(scenario())


def test_many_wait_in_the_backlog_and_finger_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_OPEN", 2)

    async def scenario() -> None:
        async with both() as house:
            holding = [house.connect() for _ in range(2)]
            await until(lambda: len(house.it._tasks) == 2)
            waiting = house.connect()
            await waiting.send(HEALTH)
            for _ in range(20):
                assert await house.ask() == HAPPY
            assert house.looked == 0
            assert len(house.it._tasks) == 2
            holding[0].reset()
            assert read(await waiting.receive()).status == 200

    run(scenario())


def test_one_connection_is_taken_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a scraper without end has a bounded part of the processor."""
    monkeypatch.setattr(service, "PACE", 3600.0)

    async def scenario() -> None:
        async with both() as house:
            assert read(await house.scrape()).status == 200
            second = house.connect()
            await second.send(HEALTH)
            for _ in range(20):
                assert await house.ask() == HAPPY
            assert house.looked == 1

    run(scenario())


def test_goes_on_when_descriptors_are_there_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "LACKING", 0.01)

    async def scenario() -> None:
        async with both() as house:
            peer = house.connect()
            await peer.send(HEALTH)
            with descriptors_left():
                await until(lambda: not house.it._accepting)
                assert not house.it._tasks
            assert read(await peer.receive()).status == 200

    run(scenario())


def test_a_scrape_is_no_open_connection_but_keeps_the_process_here() -> None:
    async def scenario() -> None:
        async with both() as house:
            before = house.it.active_at
            peer = house.connect()
            await until(lambda: bool(house.it._tasks))
            assert house.it.open == 0
            assert house.it.active_at > before
            came = house.it.active_at
            peer.reset()
            await until(lambda: not house.it._tasks)
            assert house.it.active_at > came

    run(scenario())


def test_a_stop_waits_for_no_scraper_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "LEAVING", 0.01)

    async def scenario() -> None:
        async with both() as house:
            peer = house.connect()
            await until(lambda: bool(house.it._tasks))
            house.it.stop_accepting()
            await house.it.drain()
            await house.it.close()
            assert not house.it._tasks
            assert await peer.receive() == b""

    run(scenario())


def test_a_stop_lets_a_response_end(monkeypatch: pytest.MonkeyPatch) -> None:
    may_go_on = threading.Event()
    monkeypatch.setattr(service, "LEAVING", 20.0)
    respond = service._respond

    def slowly(request: bytes, shown: Figures) -> bytes:
        assert may_go_on.wait(20)
        return respond(request, shown)

    monkeypatch.setattr(service, "_respond", slowly)

    async def scenario() -> None:
        async with both() as house:
            scrape = asyncio.create_task(house.scrape())
            await until(lambda: house.looked == 1)
            house.it.stop_accepting()
            draining = asyncio.create_task(house.it.drain())
            later = house.connect()
            await later.send(HEALTH)
            may_go_on.set()
            await draining
            assert read(await scrape).status == 200
            assert house.looked == 1  # the other waits for the next process

    run(scenario())


def test_a_bug_is_logged_and_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(request: bytes, shown: Figures) -> bytes:
        raise ZeroDivisionError

    async def scenario() -> None:
        async with both() as house:
            with monkeypatch.context() as broken:
                broken.setattr(service, "_respond", breaks)
                assert await house.scrape() == b""
            assert read(await house.scrape()).status == 200
            assert await house.ask() == HAPPY

    run(scenario())
    assert [record.__dict__.get("event") for record in caplog.records] == ["INTERNAL_ERROR"]


def test_says_so_when_no_thread_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def scenario() -> None:
        async with both() as house:
            with monkeypatch.context() as short:
                short.setattr(threading.Thread, "start", refused)
                assert await house.scrape() == BUSY
            assert read(await house.scrape()).status == 200

    run(scenario())


def test_a_thread_that_hangs_keeps_nobody_but_scrapers(monkeypatch: pytest.MonkeyPatch) -> None:
    may_go_on = threading.Event()
    monkeypatch.setattr(service, "WHOLE_TIME", 0.05)

    def hangs(request: bytes, shown: Figures) -> bytes:
        assert may_go_on.wait(20)
        return b""

    monkeypatch.setattr(service, "_respond", hangs)

    async def scenario() -> None:
        async with both() as house:
            assert await house.scrape() == await house.scrape() == b""
            assert await house.ask() == HAPPY
            may_go_on.set()

    run(scenario())


def test_the_switch_interval_is_what_it_was() -> None:
    before = sys.getswitchinterval()

    async def scenario() -> None:
        async with both() as house:
            await house.scrape()

    run(scenario())
    assert sys.getswitchinterval() == before
