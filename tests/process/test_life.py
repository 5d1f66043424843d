# SPDX-License-Identifier: MIT
"""The life of the process: ready → reload → watchdog → idle exit → stopping."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fingerd_sd.config.mistakes import ConfigError, Mistake
from fingerd_sd.config.server import Limits
from fingerd_sd.directory.ruip import Ruip
from fingerd_sd.policy import notices as limited
from fingerd_sd.process import life as service
from fingerd_sd.process.life import Service
from fingerd_sd.process.log.journal import NativeJournal, Queried
from fingerd_sd.process.log.records import JournalHandler
from fingerd_sd.process.pressure import Pressure, opened
from fingerd_sd.process.systemd import Notifier
from fingerd_sd.protocol.entry import Text
from fingerd_sd.serving.finger import server
from fingerd_sd.serving.finger.service import Finger, Setup
from fingerd_sd.serving.waiting import deadlines
from fingerd_sd.serving.waiting.loop import Loop

from ..helpers.houses import Told, everyone, ruip, static, village
from ..helpers.journald import Journald
from ..helpers.wire import PATIENCE, Peer, run, turns, until
from ..helpers.wire_cases import ALICE, HAPPY, LIMITED, NOBODY


class Systemd(Notifier):
    """A notifier that keeps what it is told, message by message."""

    def __init__(self, heard: bool = True) -> None:
        super().__init__({})
        self._heard = heard
        self.messages: list[tuple[str, ...]] = []
        self.threads: set[int] = set()
        self.on_message: Callable[[tuple[str, ...]], object] = lambda message: None
        self.deaf_for = 0  # messages

    @property
    def heard(self) -> bool:
        return self._heard

    def tell(self, *assignments: str) -> bool:
        if self.deaf_for:
            self.deaf_for -= 1
            return False
        self.messages.append(assignments)
        self.threads.add(threading.get_ident())
        self.on_message(assignments)
        return True

    def count(self, assignment: str) -> int:
        """Return how many messages have `assignment`, or begin an assignment with it."""
        return sum(any(a.startswith(assignment) for a in message) for message in self.messages)

    def status(self) -> str:
        """Return the newest STATUS."""
        return [
            assignment.removeprefix("STATUS=")
            for message in self.messages
            for assignment in message
            if assignment.startswith("STATUS=")
        ][-1]

    def kinds(self) -> list[str]:
        """Return what kinds of message there were, without STATUS and WATCHDOG alone."""
        kinds = [message[0].partition("=")[0] for message in self.messages]
        return [kind for kind in kinds if kind not in ("STATUS", "WATCHDOG")]


MOSHEZ: Queried = ("moshez", "192.0.2.1", "everyone", "found", "static", 16, 1)


class QuietJournal:
    """A journal that drops as many entries as it is told to."""

    dropped = 0

    def write(
        self, priority: int, message: str, event: str | None, fields: Mapping[str, str]
    ) -> None:
        pass

    def query(self, queried: Queried, protocol: str = "") -> None:
        pass

    def gather(self, on: bool) -> None:
        pass

    def give_back(self) -> None:
        pass


def setup_of(house: Ruip, idle_exit: float = 0) -> Setup:
    return Setup(house, Limits(), None, idle_exit)


@dataclass
class Running:
    """A service that runs in this loop, and what it holds."""

    listener: socket.socket
    systemd: Systemd
    task: asyncio.Task[None]
    service: Service[Setup]
    peers: list[Peer] = field(default_factory=list)

    def connect(self) -> Peer:
        peer = Peer(self.listener)
        self.peers.append(peer)
        return peer

    async def ask(self, line: bytes) -> bytes:
        with Peer(self.listener) as peer:
            await peer.send(line)
            return await peer.receive()

    async def told(self, assignment: str, times: int = 1) -> None:
        await until(lambda: self.systemd.count(assignment) >= times or self.task.done())
        assert self.systemd.count(assignment) >= times

    async def ended(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.task


@dataclass
class Load:
    """What the configuration on disk says: a setup, or an error; and how often it was read."""

    says: Setup | Exception
    may_go_on: threading.Event = field(default_factory=threading.Event)
    times: int = 0
    ended: int = 0

    def __call__(self) -> Setup:
        self.times += 1
        assert self.may_go_on.wait(PATIENCE)
        self.ended += 1
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


def _never() -> Setup:
    raise AssertionError("nobody told it to reload")


@asynccontextmanager
async def running(
    setup: Setup,
    load: Callable[[], Setup] = _never,
    journal: NativeJournal | QuietJournal | None = None,
    may_idle_out: bool = False,
    watchdog: float | None = None,
    systemd: Systemd | None = None,
    listener: socket.socket | None = None,
    pressure: Pressure | None = None,
) -> AsyncIterator[Running]:
    """Run a service until it ends; it is told to stop where a test did not."""
    systemd = systemd or Systemd()
    own = listener or socket.create_server(("127.0.0.1", 0))
    log = journal or QuietJournal()
    it = Service(
        [own], Finger, setup, load, systemd, log, may_idle_out, watchdog, pressure=pressure
    )
    live = Running(own, systemd, asyncio.create_task(it.run()), it)
    try:
        await live.told("READY=1")
        yield live
        if not live.task.done():
            os.kill(os.getpid(), signal.SIGTERM)
        await live.ended()
    finally:
        live.task.cancel()
        await asyncio.wait([live.task])
        for peer in live.peers:
            peer.sock.close()
        if listener is None:
            own.close()


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.__dict__.get("event", "") for record in caplog.records]


@pytest.fixture(autouse=True)
def _talkative(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


# --- ready ---


def test_it_says_ready_when_it_accepts_and_stopping_when_it_does_not(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepting: set[int] = set()
    at: dict[str, int] = {}
    systemd = Systemd()
    systemd.on_message = lambda message: at.setdefault(message[0], len(accepting))

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        doors = loop.doors
        opens, shuts = doors.open, doors.shut

        def opened(fd: int, call: Callable[[], None]) -> None:
            accepting.add(fd)
            opens(fd, call)

        def shut(fd: int) -> None:
            accepting.discard(fd)
            shuts(fd)

        monkeypatch.setattr(doors, "open", opened)
        monkeypatch.setattr(doors, "shut", shut)
        async with running(setup_of(village()), systemd=systemd) as live:
            assert await live.ask(b"moshez\r\n") == HAPPY
        assert systemd.messages[0] == ("READY=1", "STATUS=0 queries, 0 connections open")

    run(scenario())
    assert at["READY=1"] == 1
    assert at["STOPPING=1"] == 0
    assert systemd.kinds() == ["READY", "STOPPING"]
    assert events(caplog) == ["STARTED", "STOPPED"]
    assert re.fullmatch(r"Serving 127\.0\.0\.1:\d+", caplog.messages[0])
    assert caplog.messages[-1].startswith("Stopped: SIGTERM; 1 query (1 found)")


def test_warnings_of_the_configuration_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    warning = Mistake(Path("fingerd.toml"), "server.idle_exit", "short")

    async def scenario() -> None:
        async with running(setup_of(village())._replace(warnings=(warning,))):
            pass

    run(scenario())
    assert "CONFIG_WARNING" in events(caplog)
    assert "fingerd.toml: server.idle_exit: short" in caplog.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_when_told_to(number: signal.Signals, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with running(setup_of(village())) as live:
            os.kill(os.getpid(), number)
            await live.ended()

    run(scenario())
    assert number.name in caplog.messages[-1]


def test_it_serves_as_well_where_nobody_listens_to_what_it_tells() -> None:
    async def scenario() -> None:
        systemd = Systemd(heard=False)
        async with running(setup_of(village()), systemd=systemd) as live:
            for _ in range(3):
                assert await live.ask(b"moshez\r\n") == HAPPY
            await turns(50)
            assert systemd.count("STATUS=") == systemd.count("READY=1") == 1

    run(scenario())


# --- the end ---


def test_it_finishes_what_was_taken_and_leaves_the_rest_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "DRAIN_READING", 3600)

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            async with running(setup_of(village()), listener=listener) as live:
                taken = live.connect()
                await taken.send(b"mos")
                await turns(20)
                os.kill(os.getpid(), signal.SIGTERM)
                await live.told("STOPPING=1")
                waiting = live.connect()
                await waiting.send(b"alice\r\n")
                await turns(20)
                assert not live.task.done()
                await taken.send(b"hez\r\n")
                assert await taken.receive() == HAPPY
                await live.ended()
                async with running(setup_of(village()), listener=listener):
                    assert await waiting.receive() == ALICE

    run(scenario())


def test_it_asks_for_more_time_while_it_finishes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "EXTEND_EVERY", 0.001)

    async def scenario() -> None:
        slow = Told(Text("slow"), waits=asyncio.Event())
        async with running(setup_of(ruip(slow))) as live:
            peer = live.connect()
            await peer.send(b"alice\r\n")
            await until(lambda: bool(slow.asked))
            os.kill(os.getpid(), signal.SIGTERM)
            await live.told("EXTEND_TIMEOUT_USEC=", 3)
            assert "EXTEND_TIMEOUT_USEC=5000000" in live.systemd.messages[-1]
            assert "1 connections open" in live.systemd.status()
            assert slow.waits is not None
            slow.waits.set()
            assert await peer.receive() == b"slow\r\n"

    run(scenario())


def test_who_says_nothing_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "DRAIN_READING", 0.02)
    monkeypatch.setattr(deadlines, "SWEEP", 0.001)

    async def scenario() -> None:
        async with running(setup_of(village())) as live:
            peer = live.connect()
            await peer.send(b"mos")
            await turns(20)
            os.kill(os.getpid(), signal.SIGTERM)
            await live.ended()
            assert await peer.receive() == b""

    run(scenario())


def test_a_second_signal_waits_for_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        slow = Told(Text("slow"), waits=asyncio.Event())
        async with running(setup_of(ruip(slow))) as live:
            peer = live.connect()
            await peer.send(b"alice\r\n")
            await until(lambda: bool(slow.asked))
            os.kill(os.getpid(), signal.SIGINT)
            await live.told("STOPPING=1")
            assert not live.task.done()
            os.kill(os.getpid(), signal.SIGINT)
            await live.ended()
            assert await peer.receive() == b""

    run(scenario())
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


# --- leaving when idle ---


def test_it_leaves_when_nobody_calls(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        setup = setup_of(village(), idle_exit=0.1)
        with socket.create_server(("127.0.0.1", 0)) as listener, Peer(listener) as peer:
            await peer.send(b"moshez\r\n")
            async with running(setup, may_idle_out=True, listener=listener) as live:
                assert await peer.receive() == HAPPY
                await live.ended()
                assert live.systemd.kinds() == ["READY", "STOPPING"]

    run(scenario())
    assert "nobody called for 0.1 s" in caplog.messages[-1]


@pytest.mark.parametrize(("idle_exit", "may_idle_out"), [(0, True), (0.01, False)])
def test_it_stays_where_it_may_not_leave(idle_exit: float, may_idle_out: bool) -> None:
    """Nobody starts it again where it holds the sockets itself."""

    async def scenario() -> None:
        setup = setup_of(village(), idle_exit)
        async with running(setup, may_idle_out=may_idle_out, watchdog=0.01) as live:
            await live.told("WATCHDOG=1", 10)
            assert await live.ask(b"moshez\r\n") == HAPPY
            assert "STOPPING" not in live.systemd.kinds()

    run(scenario())


def test_it_does_not_leave_while_somebody_is_there() -> None:
    async def scenario() -> None:
        setup = setup_of(village(), idle_exit=0.1)
        with socket.create_server(("127.0.0.1", 0)) as listener, Peer(listener) as peer:
            await peer.send(b"mos")
            idle_out = running(setup, may_idle_out=True, watchdog=0.05, listener=listener)
            async with idle_out as live:
                await live.told("WATCHDOG=1", 10)
                assert "STOPPING" not in live.systemd.kinds()
                await peer.send(b"hez\r\n")
                assert await peer.receive() == HAPPY
                await live.ended()

    run(scenario())


def test_who_waits_already_is_answered_however_short_the_idle_time() -> None:
    """Else starts that take longer than the idle time would follow each other for ever."""

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener, Peer(listener) as peer:
            await peer.send(b"moshez\r\n")
            setup = setup_of(village(), idle_exit=1e-9)
            async with running(setup, may_idle_out=True, listener=listener) as live:
                await live.ended()
            assert await peer.receive() == HAPPY

    run(scenario())


def test_nobody_is_lost_when_it_leaves() -> None:
    """Who comes while it leaves waits for the next: many times, under steady queries."""

    async def scenario() -> None:
        setup = setup_of(village(), idle_exit=0.0005)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            starts = 0
            over = False

            async def serve() -> None:
                nonlocal starts
                while not over:
                    starts += 1
                    async with running(setup, may_idle_out=True, listener=listener) as live:
                        await live.ended()

            async def call() -> None:
                for number in range(100):
                    await asyncio.sleep(0.001 * (number % 3))
                    with Peer(listener) as peer:
                        await peer.send(b"moshez\r\n")
                        assert await peer.receive() == HAPPY

            serving = asyncio.create_task(serve())
            await asyncio.gather(*(call() for _ in range(3)))
            over = True
            await serving
            assert starts > 1

    run(scenario())


# --- reload ---


def test_a_reload_is_announced_used_and_ended(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        load = Load(setup_of(ruip(Told(Text("new")))))
        async with running(setup_of(ruip(Told(Text("old")))), load) as live:
            assert await live.ask(b"alice\r\n") == b"old\r\n"
            os.kill(os.getpid(), signal.SIGHUP)
            await live.told("RELOADING=1")
            assert await live.ask(b"alice\r\n") == b"old\r\n"  # the loop goes on meanwhile
            assert live.systemd.count("READY=1") == 1
            load.may_go_on.set()
            await live.told("READY=1", 2)
            assert await live.ask(b"alice\r\n") == b"new\r\n"
            assert live.systemd.kinds() == ["READY", "RELOADING", "READY"]
            [reloading] = [m for m in live.systemd.messages if m[0] == "RELOADING=1"]
            name, _, usec = reloading[1].partition("=")
            assert name == "MONOTONIC_USEC"
            assert 0 < int(usec) <= asyncio.get_running_loop().time() * 1e6

    run(scenario())
    assert events(caplog) == ["STARTED", "RELOADED", "STOPPED"]


def test_a_reload_forgets_what_was_remembered() -> None:
    async def scenario() -> None:
        old, new = (ruip(static({"alice": Text(text)})) for text in ("old", "new"))
        load = Load(setup_of(new))
        load.may_go_on.set()
        async with running(setup_of(old), load) as live:
            for _ in range(2):
                assert await live.ask(b"alice\r\n") == b"old\r\n"
            os.kill(os.getpid(), signal.SIGHUP)
            await live.told("READY=1", 2)
            for _ in range(2):
                assert await live.ask(b"alice\r\n") == b"new\r\n"

    run(scenario())


MISTAKES = [
    Mistake(Path("fingerd.toml"), "server.max_query", "expected a whole number"),
    Mistake(Path("fingerd.toml"), "sever", "unknown section"),
]


@pytest.mark.parametrize(
    ("error", "status", "logged"),
    [
        (ConfigError(MISTAKES[:1]), "fingerd.toml: server.max_query: expected a whole number", 1),
        (ConfigError(MISTAKES), "server.max_query: expected a whole number (and 1 more)", 2),
        (RuntimeError("a third party's\nfault"), "a third party's fault", 1),
    ],
)
def test_a_bad_configuration_leaves_the_old_one_in_use(
    error: Exception, status: str, logged: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        load = Load(error)
        load.may_go_on.set()
        async with running(setup_of(village()), load) as live:
            os.kill(os.getpid(), signal.SIGHUP)
            await live.told("READY=1", 2)
            assert await live.ask(b"moshez\r\n") == HAPPY
            assert "old configuration in use" in live.systemd.status()
            assert status in live.systemd.status()
            assert "\n" not in live.systemd.status()
            assert live.systemd.kinds() == ["READY", "RELOADING", "READY"]
            load.says = setup_of(ruip(Told(Text("new"))))
            os.kill(os.getpid(), signal.SIGHUP)
            await live.told("READY=1", 3)
            assert "old configuration" not in live.systemd.status()
            assert await live.ask(b"moshez\r\n") == b"new\r\n"

    run(scenario())
    assert events(caplog) == [
        "STARTED",
        *["RELOAD_FAILED"] * logged,
        "RELOADED",
        "STOPPED",
    ]


def test_who_changes_the_file_during_a_reload_gets_another() -> None:
    async def scenario() -> None:
        load = Load(setup_of(ruip(Told(Text("half")))))
        async with running(setup_of(village()), load) as live:
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: load.times == 1)
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGHUP)
                await turns()
            load.may_go_on.set()
            await until(lambda: load.times == 2)
            await live.told("READY=1", 2)
            await turns(20)
            assert load.times == 2
            assert live.systemd.messages[-1][0] == "READY=1"

    run(scenario())


def test_a_reload_can_switch_the_idle_exit_on() -> None:
    async def scenario() -> None:
        load = Load(setup_of(village(), idle_exit=0.02))
        load.may_go_on.set()
        async with running(setup_of(village()), load, may_idle_out=True) as live:
            os.kill(os.getpid(), signal.SIGHUP)
            await live.ended()

    run(scenario())


def test_limits_and_log_come_with_the_reload() -> None:
    async def scenario() -> None:
        logged: list[str] = []
        new = Setup(
            village(),
            Limits(max_query=16),
            lambda answer, client, sent, usec: logged.append(answer.query),
            0,
        )
        load = Load(new)
        load.may_go_on.set()
        async with running(setup_of(village()), load) as live:
            os.kill(os.getpid(), signal.SIGHUP)
            await live.told("READY=1", 2)
            assert await live.ask(b"moshez" + b" " * 20 + b"\r\n") == b"Malformed query\r\n"
            assert await live.ask(b"moshez\r\n") == HAPPY
            assert logged[1] == "moshez"

    run(scenario())


def test_it_stops_during_a_reload_and_is_not_ready_after_that() -> None:
    async def scenario() -> None:
        load = Load(setup_of(village()))
        slow = Told(Text("slow"), waits=asyncio.Event())
        async with running(setup_of(ruip(slow)), load) as live:
            await live.connect().send(b"alice\r\n")
            await until(lambda: bool(slow.asked))
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: load.times == 1)
            os.kill(os.getpid(), signal.SIGTERM)
            await live.told("STOPPING=1")
            load.may_go_on.set()
            await until(lambda: load.ended == 1)
            await turns(100)
            os.kill(os.getpid(), signal.SIGHUP)
            await turns(100)
            assert slow.waits is not None
            slow.waits.set()
            await live.ended()
            kinds = [kind for kind in live.systemd.kinds() if kind != "EXTEND_TIMEOUT_USEC"]
            assert kinds == ["READY", "RELOADING", "STOPPING"]

    run(scenario())


# --- clients that are limited ---


def notices(caplog: pytest.LogCaptureFixture) -> list[tuple[str, int]]:
    """Return client and count of each entry about limited queries."""
    fields = [r.__dict__["fields"] for r in caplog.records if r.__dict__.get("event") == "LIMITED"]
    return [(entry["FINGER_CLIENT"], int(entry["FINGER_COUNT"])) for entry in fields]


def limited_house(log_client: str = "full") -> Setup:
    """Return a house that answers nobody, since what nobody has spends four at once."""
    return setup_of(ruip(audiences=[everyone(rate=1)], log_client=log_client))


def test_what_is_limited_is_told_at_once_and_the_rest_when_it_stops(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        async with running(limited_house()) as live:
            assert await live.ask(b"nobody\r\n") == NOBODY
            for _ in range(6):
                assert await live.ask(b"nobody\r\n") == LIMITED
                assert notices(caplog) == [("127.0.0.1", 1)]
        assert notices(caplog) == [("127.0.0.1", 1), ("127.0.0.1", 5)]
        assert events(caplog) == ["STARTED", "LIMITED", "LIMITED", "STOPPED"]
        record = caplog.records[1]
        assert record.levelno == logging.WARNING
        assert record.getMessage() == "Too many queries from 127.0.0.1: 1 refused"
        assert record.__dict__["fields"] == {
            "FINGER_CLIENT": "127.0.0.1",
            "FINGER_AUDIENCE": "everyone",
            "FINGER_RESULT": "limited",
            "FINGER_COUNT": "1",
        }

    run(scenario())


def test_while_it_goes_on_it_is_told_again_and_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limited, "EVERY", 0.01)

    async def scenario() -> None:
        answers: list[bytes] = []
        async with running(limited_house()) as live:
            finger = live.service._served
            assert isinstance(finger, Finger)
            while len([count for _, count in notices(caplog) if count > 1]) < 3:
                answers += [await live.ask(b"nobody\r\n") for _ in range(10)]
            await until(lambda: finger._limited._timer is None)  # all is told and forgotten
            assert sum(count for _, count in notices(caplog)) == answers.count(LIMITED)
            await live.ask(b"nobody\r\n")  # and counting begins anew
        assert sum(count for _, count in notices(caplog)) == answers.count(LIMITED) + 1

    run(scenario())


def test_a_reload_takes_no_address_with_it_that_it_forbids(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        load = Load(limited_house("none"))
        load.may_go_on.set()
        async with running(limited_house(), load) as live:
            for _ in range(4):
                await live.ask(b"nobody\r\n")
            os.kill(os.getpid(), signal.SIGHUP)
            await live.told("READY=1", 2)
            before = len(caplog.records)
            assert notices(caplog) == [("127.0.0.1", 1), ("127.0.0.1", 2)]
            for _ in range(4):
                await live.ask(b"nobody\r\n")
        assert notices(caplog)[2:] == [("-", 1), ("-", 2)]
        assert all("127.0.0.1" not in r.getMessage() for r in caplog.records[before:])

    run(scenario())


# --- the watchdog ---


def test_the_watchdog_is_fed_from_the_loop_itself() -> None:
    async def scenario() -> None:
        async with running(setup_of(village()), watchdog=0.001) as live:
            await live.told("WATCHDOG=1", 5)
            assert live.systemd.threads == {threading.get_ident()}
            assert ("WATCHDOG=1",) in live.systemd.messages

    run(scenario())


def test_a_ping_that_was_not_taken_is_soon_followed_by_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next one in turn comes when all of the watchdog's time is over: too late."""
    monkeypatch.setattr("fingerd_sd.process.life.RETRY", 0.001)
    systemd = Systemd()

    async def scenario() -> None:
        async with running(setup_of(village()), systemd=systemd, watchdog=3600):
            systemd.deaf_for, systemd.messages = 3, []
            systemd.on_message = lambda message: None
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: systemd.count("WATCHDOG=1") > 0)
            assert systemd.deaf_for == 0

    run(scenario())


def test_a_reload_with_a_mistake_of_any_length_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    systemd = Systemd()

    def load() -> Setup:
        raise ConfigError([Mistake(Path("fingerd.toml"), "networks", "x\n" * 100_000)])

    async def scenario() -> None:
        async with running(setup_of(village()), load, systemd=systemd):
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: systemd.kinds()[-1:] == ["READY"] and len(systemd.kinds()) > 2)
            assert "networks" in systemd.status()
            longest = max(len("\n".join(message).encode()) for message in systemd.messages)
            assert longest < 4096  # NOTIFY_BUFFER_MAX of systemd

    run(scenario())


def test_the_watchdog_is_fed_while_it_finishes() -> None:
    async def scenario() -> None:
        slow = Told(Text("slow"), waits=asyncio.Event())
        async with running(setup_of(ruip(slow)), watchdog=0.001) as live:
            await live.connect().send(b"alice\r\n")
            await until(lambda: bool(slow.asked))
            os.kill(os.getpid(), signal.SIGTERM)
            await live.told("STOPPING=1")
            await live.told("WATCHDOG=1", live.systemd.count("WATCHDOG=1") + 3)
            assert slow.waits is not None
            slow.waits.set()

    run(scenario())


def test_no_watchdog_is_fed_where_nobody_watches() -> None:
    async def scenario() -> None:
        async with running(setup_of(village())) as live:
            assert await live.ask(b"moshez\r\n") == HAPPY
            await turns(50)
            assert live.systemd.count("WATCHDOG=") == 0

    run(scenario())


# --- status ---


def test_the_status_counts_queries_by_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "STATUS_EVERY", 0.001)

    async def scenario() -> None:
        async with running(setup_of(village())) as live:
            for line in (b"moshez\r\n", b"moshez\r\n", b"bob\r\n", b"\r\n", b"\0\r\n"):
                await live.ask(line)
            held = live.connect()
            await held.send(b"ali")
            expected = "5 queries (2 found, 1 absent, 1 refused, 1 malformed), 1 connections open"
            await until(lambda: live.systemd.status() == expected)
            held.sock.close()
            await until(lambda: live.systemd.status().endswith(" 0 connections open"))

    run(scenario())


def test_the_status_is_not_told_for_every_query(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "STATUS_EVERY", 3600)

    async def scenario() -> None:
        async with running(setup_of(village())) as live:
            for _ in range(100):
                await live.ask(b"moshez\r\n")
            await turns(100)
            assert live.systemd.count("STATUS=") == 1  # that of READY
            os.kill(os.getpid(), signal.SIGTERM)
            await live.told("STOPPING=1")
            assert live.systemd.status().startswith("100 queries")

    run(scenario())


def test_the_status_is_not_told_where_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "STATUS_EVERY", 0.001)

    async def scenario() -> None:
        async with running(setup_of(village()), watchdog=0.002) as live:
            await live.told("WATCHDOG=1", 10)
            assert live.systemd.count("STATUS=") == 1

    run(scenario())


def test_dropped_log_entries_are_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service, "STATUS_EVERY", 0.001)

    async def scenario() -> None:
        journal = QuietJournal()
        async with running(setup_of(village()), journal=journal) as live:
            journal.dropped = 3
            await live.ask(b"moshez\r\n")
            await until(lambda: live.systemd.status().endswith("; 3 log entries dropped"))
            await live.ask(b"moshez\r\n")
            await until(lambda: live.systemd.status().startswith("2 queries"))
            journal.dropped = 5
            await live.ask(b"moshez\r\n")
            await until(lambda: live.systemd.status().endswith("; 5 log entries dropped"))

    run(scenario())
    told = [record.getMessage() for record in caplog.records if "LOG_DROPPED" in str(vars(record))]
    assert [message.split()[0] for message in told] == ["3", "2"]


def test_a_journald_that_reads_again_is_told_of_all_that_was_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what was dropped before, the entry about it as well."""
    monkeypatch.setattr(service, "STATUS_EVERY", 0.001)

    async def scenario() -> None:
        with Journald(tmp_path) as stuck:
            journal = NativeJournal(stuck.path)
            handler = JournalHandler(journal)
            service.log.addHandler(handler)
            try:
                async with running(setup_of(village()), journal=journal) as live:
                    while not journal.dropped:
                        journal.query(MOSHEZ)
                    before = journal.dropped
                    while journal.dropped < before + 3:  # entries about it, dropped
                        assert await live.ask(b"moshez\r\n") == HAPPY
                        await turns()
                    stuck.waiting()
                    dropped = journal.dropped
                    await live.ask(b"moshez\r\n")
                    await until(lambda: bool(stuck.peek()))
                    assert stuck.entry()["MESSAGE"].startswith(f"{dropped} log entries")
            finally:
                service.log.removeHandler(handler)
                if journal._socket is not None:
                    journal._socket.close()

    run(scenario())


def test_a_journald_that_is_stuck_does_not_stop_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody reads its socket: queries go on, what it did not take is counted and told."""
    monkeypatch.setattr(service, "STATUS_EVERY", 0.001)

    async def scenario() -> None:
        with Journald(tmp_path) as stuck:
            journal = NativeJournal(stuck.path)

            def log(*_: object) -> None:
                journal.query(MOSHEZ)

            async with running(
                setup_of(village())._replace(query_log=log), journal=journal
            ) as live:
                while not journal.dropped:
                    assert await live.ask(b"moshez\r\n") == HAPPY
                for _ in range(10):
                    assert await live.ask(b"moshez\r\n") == HAPPY
                await until(
                    lambda: live.systemd.status().endswith(
                        f"; {journal.dropped} log entries dropped"
                    )
                )
                assert journal.dropped > 10
                queries = live.systemd.status().split()[0]
                assert stuck.waiting() + journal.dropped == int(queries)
            if journal._socket is not None:
                journal._socket.close()

    run(scenario())


def test_where_memory_is_short_what_was_kept_is_dropped_and_told(tmp_path: Path) -> None:
    """But not what a rate has left: whoever makes memory short would be given it anew."""

    async def scenario() -> None:
        os.mkfifo(tmp_path / "pressure")
        pressure = opened({"MEMORY_PRESSURE_WATCH": str(tmp_path / "pressure")})
        assert pressure is not None
        source = Told(Text("hello"), lifetime=float("inf"))
        setup = setup_of(ruip(source, audiences=[everyone(rate=3)]))
        async with running(setup, pressure=pressure) as live:
            assert [await live.ask(b"alice\r\n") for _ in range(2)] == [b"hello\r\n"] * 2
            assert source.asked == ["alice"]
            assert "memory" not in live.systemd.status()
            (tmp_path / "pressure").write_bytes(b"x")
            await until(lambda: "; memory given back 1 time" in live.systemd.status())
            assert await live.ask(b"alice\r\n") == b"hello\r\n"
            assert source.asked == ["alice"] * 2
            assert await live.ask(b"alice\r\n") == LIMITED
        pressure.close()

    run(scenario())
