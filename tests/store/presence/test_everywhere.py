# SPDX-License-Identifier: MIT
"""Who is logged in on all hosts, by a real store: what is told, read, expired, forged and lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fingerd_sd.directory.source import SourceError
from fingerd_sd.protocol.entry import Absent, Login, Person
from fingerd_sd.store.presence import everywhere as module
from fingerd_sd.store.presence import index
from fingerd_sd.store.presence.everywhere import (
    KEPT,
    PAGE,
    PIECE,
    RENEWED,
    STANDS_IN,
    Everywhere,
)
from fingerd_sd.store.presence.joined import Joined
from fingerd_sd.store.presence.telling import leave, tell
from fingerd_sd.store.presence.told import MAX_SESSIONS, Told, octets_of, rows_in
from fingerd_sd.store.server import Server

from ...helpers.houses import ALICE
from ...helpers.store import store

ON = Told("alice", 1000, 1_790_000_000.0, "pts/0", "203.0.113.7", 1_790_000_000.0, True)
BOB = Told("bob", 1001, 1_790_000_000.0, "tty2")


class Clock:
    """Monotonic seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def everywhere(folder: Path) -> AsyncIterator[tuple[Server, Everywhere, Clock]]:
    """Yield a store, what is known by it, and the clock by which that is kept."""
    clock = Clock()
    with store(folder) as running:
        server = Server(running.keys())
        known = Everywhere(server, clock, lambda: 1_790_000_060.0)
        try:
            yield server, known, clock
        finally:
            await known.close()
            await server.close()


Scenario = Callable[[Server, Everywhere, Clock], Awaitable[None]]


@pytest.fixture
def go(tmp_path: Path) -> Callable[[Scenario], None]:
    """Run a scenario with a store of its own."""

    def run(scenario: Scenario) -> None:
        async def whole() -> None:
            async with everywhere(tmp_path) as parts:
                await scenario(*parts)

        asyncio.run(whole())

    return run


Go = Callable[[Scenario], None]


def test_all_hosts_are_known_and_changes_are_read_later(go: Go) -> None:
    async def scenario(server: Server, known: Everywhere, clock: Clock) -> None:
        for number in range(2 * PAGE + 1):
            await tell(server, f"login{number}", [ON])
        sessions, _ = await known.of("alice", 1000)
        assert sessions is not None
        assert len(sessions) == 2 * PAGE + 1
        assert {one.machine for one in sessions} == {f"login{n}" for n in range(2 * PAGE + 1)}
        assert (sessions[0].idle, sessions[0].tty, sessions[0].messages) == (60.0, "pts/0", True)
        await tell(server, "login5", [BOB])
        assert await known.who("login5") == ["alice"]  # it is kept
        clock.now += KEPT
        assert await known.who("login5") == ["bob"]
        assert await known.who("login6") == ["alice"]
        assert sorted(await known.who() or ()) == ["alice", "bob"]

    go(scenario)


def test_only_what_has_changed_is_fetched_again(go: Go) -> None:
    async def scenario(server: Server, known: Everywhere, clock: Clock) -> None:
        await tell(server, "login1", [ON])
        await tell(server, "login2", [ON])
        await known.known()
        await tell(server, "login2", [BOB])
        await tell(server, "login1", [ON])  # as before: only its time is new
        clock.now += KEPT
        pages: list[Any] = []
        page = known._page

        async def watched(last: float) -> Any:
            pages.append(await page(last))
            return pages[-1]

        known._page = watched  # type: ignore[method-assign]
        await known.known()
        assert [host for page in pages for host, _ in page.found] == ["login2"]

    go(scenario)


def test_a_host_that_dies_is_gone_and_one_that_leaves_at_once(go: Go) -> None:
    async def scenario(server: Server, known: Everywhere, clock: Clock) -> None:
        await tell(server, "dies", [ON], 1)
        await tell(server, "leaves", [ON])
        await tell(server, "stays", [ON])
        assert len((await known.known()).hosts) == 3
        await leave(server, "leaves")
        clock.now += KEPT
        assert set((await known.known()).hosts) == {"dies", "stays"}
        while await server.call("EXISTS", server.names.sessions_of("dies")):
            await asyncio.sleep(0.05)
        clock.now += KEPT
        assert set((await known.known()).hosts) == {"stays"}
        assert await known.who("dies") is None
        await tell(server, "dies", [])  # it is up again, and nobody is on
        clock.now += KEPT
        assert await known.who("dies") == []

    go(scenario)


def test_another_user_of_the_same_name_is_another(go: Go) -> None:
    async def scenario(server: Server, known: Everywhere, clock: Clock) -> None:
        await tell(server, "login1", [ON])
        assert (await known.of("alice", 1001))[0] == ()

    go(scenario)


def test_of_very_many_sessions_of_one_user_the_last_ones_are_told(
    go: Go, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = 100
    monkeypatch.setattr(module, "MAX_OF", few)
    many = [ON._replace(tty=f"pts/{number}", since=ON.since + number) for number in range(900)]

    async def scenario(server: Server, known: Everywhere, clock: Clock) -> None:
        await tell(server, "login1", many)
        await tell(server, "login2", [ON, BOB])
        sessions, origin = await known.of("alice", 1000)
        assert [one.tty for one in sessions or ()] == [one.tty for one in many[-few:]]
        assert f"901 sessions, of which the last {few}" in origin

    go(scenario)


def test_what_is_forged_in_the_store_harms_nobody(go: Go) -> None:
    async def scenario(server: Server, known: Everywhere, clock: Clock) -> None:
        names = server.names
        await tell(server, "login1", [ON])
        forged: dict[str, tuple[str, str | bytes]] = {
            "list": ("RPUSH", "x"),
            "rubbish": ("SET", b"\xff\0["),
            "huge": ("SET", b"[" + b" " * (1 << 20)),
            "evil\r\nhost": ("SET", b"[]"),
            "\x1b[2J": ("SET", b"[]"),
            "none": ("SADD", "x"),
        }
        for host, words in forged.items():
            await server.call(words[0], names.sessions_of(host), words[1])
            await server.call("ZADD", server.names.told, 7, host)
        assert await known.who() == ["alice"]
        assert set((await known.known()).hosts) <= {"login1", "rubbish", "huge"}

    go(scenario)


def test_a_store_that_has_lost_all_is_read_anew(go: Go) -> None:
    async def scenario(server: Server, known: Everywhere, clock: Clock) -> None:
        for _ in range(3):
            await tell(server, "login1", [ON])
            await tell(server, "login1", [])
        await tell(server, "login2", [ON])
        await known.known()
        await server.call("FLUSHALL")
        await tell(server, "login3", [BOB])
        clock.now += KEPT
        assert set((await known.known()).hosts) == {"login3"}

    go(scenario)


@pytest.mark.parametrize("changes", [1, 9])
def test_changes_are_read_at_once_though_a_failover_lost_some(go: Go, changes: int) -> None:
    """However many changes follow before anybody reads: their numbers are new."""

    async def scenario(server: Server, known: Everywhere, clock: Clock) -> None:
        await tell(server, "login1", [])
        await tell(server, "login2", [ON])
        lost = await server.call("DUMP", server.names.told)
        for said in ([ON], [], [BOB], [ON]):
            await tell(server, "login1", said)
        await known.known()
        await server.call("RESTORE", server.names.told, 0, lost, "REPLACE")
        await server.call("SET", server.names.sessions_of("login1"), b"[]")
        await tell(server, "login1", [BOB])
        for number in range(changes):
            await tell(server, "login2", [ON] if number % 2 else [])
        clock.now += KEPT
        assert await known.who("login1") == ["bob"]

    go(scenario)


def test_a_store_that_has_lost_all_is_read_anew_however_much_it_heard_since(go: Go) -> None:
    async def scenario(server: Server, known: Everywhere, clock: Clock) -> None:
        for host in ("login1", "login2"):
            await tell(server, host, [ON])
        await known.known()
        await server.call("FLUSHALL")
        for said in ([ON], [], [ON], [BOB]):
            await tell(server, "login2", said)
        clock.now += KEPT
        assert set((await known.known()).hosts) == {"login2"}
        assert await known.who("login2") == ["bob"]

    go(scenario)


def test_a_host_that_is_forgotten_is_gone_though_nobody_read_meanwhile(go: Go) -> None:
    async def scenario(server: Server, known: Everywhere, clock: Clock) -> None:
        for host in ("login1", "login2"):
            await tell(server, host, [ON])
        await known.known()
        await server.call("DEL", server.names.sessions_of("login1"))
        await server.call("ZADD", server.names.hosts, 1, "login1")  # for an hour and more
        await tell(server, "login2", [ON])
        assert await server.call("ZRANGE", server.names.hosts, 0, -1) == [b"login2"]
        clock.now += KEPT
        assert set((await known.known()).hosts) == {"login2"}

    go(scenario)


def test_all_is_read_anew_now_and_then(go: Go) -> None:
    async def scenario(server: Server, known: Everywhere, clock: Clock) -> None:
        await tell(server, "login1", [ON])
        await known.known()
        # A change whose number is lower than another's: the clock of the store went back.
        await server.call("SET", server.names.sessions_of("login1"), b"[]")
        clock.now += KEPT
        assert await known.who("login1") == ["alice"]
        clock.now += RENEWED
        assert await known.who("login1") == []

    go(scenario)


def test_what_is_as_before_is_not_read_again(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []

    def rows(octets: bytes) -> list[Any]:
        read.append(octets)
        return rows_in(octets)

    monkeypatch.setattr(module, "rows_in", rows)

    async def scenario(server: Server, known: Everywhere, clock: Clock) -> None:
        await tell(server, "login1", [ON])
        await tell(server, "login2", [BOB])
        await known.known()
        await tell(server, "login2", [ON])
        await leave(server, "login1")
        await server.call("ZREM", server.names.told, "login1")  # and forgotten, an hour later
        clock.now += RENEWED
        assert set((await known.known()).hosts) == {"login2"}
        clock.now += RENEWED
        assert await known.who("login2") == ["alice"]
        assert read == [octets_of([ON]), octets_of([BOB]), octets_of([ON])]

    go(scenario)


def test_the_loop_has_its_turns_while_much_is_read(go: Go) -> None:
    async def scenario(server: Server, known: Everywhere, clock: Clock) -> None:
        long = BOB._replace(tty="t" * 200)
        for number in range(6):  # two of these are a page
            many = [long._replace(user=f"u{number}-{one}") for one in range(MAX_SESSIONS)]
            await tell(server, f"login{number}", many)
        pages = turns = 0
        page = known._page

        async def watched(last: float) -> Any:
            nonlocal pages
            pages += 1
            return await page(last)

        known._page = watched  # type: ignore[method-assign]
        reading = asyncio.ensure_future(known.known())
        while not reading.done():
            await asyncio.sleep(0)
            turns += 1
        assert len(reading.result().users) == 6 * MAX_SESSIONS
        assert pages > 1
        assert turns > 6 * MAX_SESSIONS / PIECE

    go(scenario)


def test_what_is_left_out_is_said(
    go: Go, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(index, "MAX_ALL", 1)

    async def scenario(server: Server, known: Everywhere, clock: Clock) -> None:
        await tell(server, "login1", [ON])
        await known.known()
        assert known.trouble == ""
        await tell(server, "login2", [BOB, ON])
        clock.now += KEPT
        await known.known()
        clock.now += RENEWED
        await known.known()
        assert "left out" in known.trouble
        assert [record.message for record in caplog.records] == [known.trouble]
        await leave(server, "login1")
        await tell(server, "login2", [BOB])
        clock.now += RENEWED
        assert await known.who() == ["bob"]
        assert known.trouble == ""

    go(scenario)


def test_while_the_store_is_down_the_list_stands_in_for_a_while(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock = Clock()
        with store(tmp_path) as running:
            server = Server(running.keys())
            known = Everywhere(server, clock)
            await tell(server, "login1", [ON])
            await known.known()
        clock.now += KEPT
        assert await known.who() == ["alice"]
        clock.now += STANDS_IN
        with pytest.raises(SourceError):
            await known.who()
        sessions, why = await known.of("alice", 1000)
        assert sessions is None
        assert "the store at" in why
        await known.close()
        await server.close()

    asyncio.run(scenario())


class Below:
    """A source of one account."""

    name, timeout, lifetime, closed = "accounts", 5.0, 2.0, False

    async def find(self, user: str) -> Person | Absent:
        last = Login(sessions_began(), "tty1")
        return ALICE._replace(uid=1000, last_login=last) if user == "alice" else Absent()

    async def close(self) -> None:
        self.closed = True


def sessions_began() -> Any:
    from datetime import UTC, datetime

    return datetime(2026, 1, 1, tzinfo=UTC)


def test_a_source_shows_its_users_with_their_sessions_everywhere(go: Go) -> None:
    async def scenario(server: Server, known: Everywhere, clock: Clock) -> None:
        await tell(server, "login3", [ON, BOB])
        below = Below()
        source = Joined(below, server.hold(), "login1")
        alice = await source.find("alice")
        assert isinstance(alice, Person)
        assert [one.machine for one in alice.sessions or ()] == ["login3"]
        assert alice.last_login is not None
        assert alice.last_login.machine == "login1"
        assert isinstance(await source.find("bob"), Absent)
        assert sorted(await source.who() or ()) == ["alice", "bob"]
        assert await source.who_at("login1") is None
        source.select(frozenset({"plan"}))
        assert (await source.find("alice")) == await below.find("alice")
        server.hold()
        await source.close()
        assert below.closed

    go(scenario)
