# SPDX-License-Identifier: MIT
"""What the store tells of changes, by a real one: what is heard, and that a loss is noticed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fingerd_sd.config.store import Place, StoreKeys
from fingerd_sd.store import changes as changes_module
from fingerd_sd.store import server as server_module
from fingerd_sd.store.changes import Changes
from fingerd_sd.store.server import Server

from ..helpers import needs
from ..helpers.fake_store import Error, fake
from ..helpers.store import Running, store
from ..helpers.wire import run

needs.modules("redis")


class Heard:
    """Changes, and the logins that they told."""

    def __init__(self, server: Server) -> None:
        self.told: list[list[str] | None] = []
        self.changes = Changes(server, self._take)

    def _take(self, logins: Iterable[str] | None) -> None:
        self.told.append(None if logins is None else list(logins))

    async def until(self, what: Callable[[], bool]) -> None:
        """Return when `what` is so."""
        async with asyncio.timeout(30):
            while not what():
                await asyncio.sleep(0.01)

    async def news(self, before: int) -> None:
        """Return when there are other news than `before`."""
        await self.until(lambda: self.changes.news() != before)

    async def begun(self) -> None:
        """Return when changes are heard."""
        self.changes.start()
        await self.until(lambda: self.changes.hears)


@asynccontextmanager
async def hearing(running: Running, ttl: float = 2.0) -> AsyncIterator[tuple[Server, Heard]]:
    """Yield a store, and what is heard of it."""
    server = Server(running.keys()._replace(ttl=ttl)).hold()
    heard = Heard(server)
    try:
        yield server, heard
    finally:
        await heard.changes.close()
        await server.close()


def with_store(folder: Path, ask: Callable[[Running], Awaitable[Any]], *options: str) -> Any:
    async def whole(running: Running) -> Any:
        return await ask(running)

    with store(folder, *options) as running:
        return run(whole(running))


def test_each_change_of_what_is_published_is_heard_and_no_other(tmp_path: Path) -> None:
    async def scenario(running: Running) -> None:
        async with hearing(running) as (server, heard):
            await heard.begun()
            await server.call("SET", server.names.recent, "x")
            await server.call("SET", "p:bob", "x")
            for words in (("HSET", "plan", "x"), ("HDEL", "plan"), ("SET", "x"), ("DEL",)):
                before = heard.changes.news()
                await server.call(words[0], server.names.person("alice"), *words[1:])
                await heard.news(before)
            assert heard.told == [["alice"]] * 4
            await server.together(
                ("SET", server.names.person("bob"), 1), ("SET", server.names.person("żółw"), 1)
            )
            await heard.until(lambda: len(heard.told) > 4)
            assert sorted(heard.told[4] or ()) == ["bob", "żółw"]
            await server.call("FLUSHALL")
            await heard.until(lambda: heard.told[-1] is None)

    with_store(tmp_path, scenario)


def test_it_remembers_for_a_while_whom_changes_were_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes_module, "MAX_LOG", 3)

    async def scenario(running: Running) -> None:
        async with hearing(running) as (server, heard):
            changes = heard.changes
            assert changes.since(changes.news()) == set()
            before = changes.news()
            await heard.begun()
            assert changes.since(before) is None  # what was before may be another by now
            first = changes.news()
            for number, name in enumerate(("alice", "bob", "alice", "carol")):
                news = changes.news()
                await server.call("SET", server.names.person(name), number)
                await heard.news(news)
                assert changes.since(news) == {name}
            assert changes.since(first + 1) == {"alice", "bob", "carol"}
            assert changes.since(first) is None
            assert changes.since(None) is None

    with_store(tmp_path, scenario)


def test_a_connection_that_ends_is_noticed_and_made_anew(tmp_path: Path) -> None:
    async def scenario(running: Running) -> None:
        async with hearing(running) as (server, heard):
            await heard.begun()
            for _ in range(3):
                before = heard.changes.news()
                assert await server.call("CLIENT", "KILL", "TYPE", "pubsub") == 1
                await heard.news(before)
                await heard.until(lambda: heard.changes.hears)
            assert not server.trouble
            await server.call("SET", server.names.person("alice"), "x")
            await heard.until(lambda: heard.told == [["alice"]])

    with_store(tmp_path, scenario)


def test_a_store_that_says_nothing_at_all_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes_module, "SILENCE", (0.02, 0.02))

    async def scenario(running: Running) -> None:
        async with hearing(running) as (server, heard):
            await heard.begun()
            before = heard.changes.news()
            number = int((await server.call("INFO", "server")).split(b"process_id:")[1].split()[0])
            os.kill(number, signal.SIGSTOP)
            try:
                await heard.until(lambda: heard.changes.news() > before)
                assert not heard.changes.hears
            finally:
                os.kill(number, signal.SIGCONT)
            await heard.until(lambda: heard.changes.hears)

    with_store(tmp_path, scenario)


def test_one_that_is_silent_since_nothing_changes_is_heard_all_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes_module, "SILENCE", (0.02, 0.02))

    async def scenario(running: Running) -> None:
        async with hearing(running) as (server, heard):
            await heard.begun()
            before, began = heard.changes.news(), heard.changes.began
            pings = 0
            while pings < 5:
                stats = await server.call("INFO", "commandstats")
                pings = (
                    int(stats.split(b"cmdstat_ping:calls=")[1].split(b",")[0])
                    if (b"cmdstat_ping" in stats)
                    else 0
                )
            assert (heard.changes.began, heard.changes.news()) == (began, before)

    with_store(tmp_path, scenario)


def test_a_store_that_stops_is_heard_again_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "AGAIN", 0.02)

    async def scenario(running: Running) -> None:
        async with hearing(running) as (server, heard):
            await heard.begun()
            running.stop()
            await heard.until(lambda: not heard.changes.hears)
            await heard.until(lambda: bool(server.trouble))
            await asyncio.to_thread(running.start)
            await heard.until(lambda: heard.changes.hears)
            await server.call("SET", server.names.person("alice"), "x")
            await heard.until(lambda: heard.told == [["alice"]])

    with_store(tmp_path, scenario)


def test_a_store_that_does_not_allow_it_is_asked_again_and_the_journal_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(changes_module, "AGAIN", (0.01, 0.01))
    nobody = ("--user", "default", "on", "nopass", "~*", "&*", "+@all", "-client|tracking")

    async def scenario(running: Running) -> None:
        async with hearing(running) as (server, heard):
            heard.changes.start()
            await heard.until(lambda: bool(heard.changes.trouble))
            assert "does not allow this to its user" in heard.changes.trouble
            await server.call("CONFIG", "RESETSTAT")
            while b"client|id" not in await server.call("INFO", "commandstats"):
                await asyncio.sleep(0.01)
            await server.call("ACL", "SETUSER", "default", "+client|tracking")
            await heard.until(lambda: heard.changes.hears)
            assert (heard.changes.trouble, server.trouble) == ("", "")

    with_store(tmp_path, scenario, *nobody)
    assert [getattr(record, "event", "") for record in caplog.records] == ["STORE_FAILS"]


def test_it_can_be_closed_at_any_time(tmp_path: Path) -> None:
    async def scenario(running: Running) -> None:
        for turns in range(12):
            async with hearing(running) as (_, heard):
                heard.changes.start()
                for _ in range(turns**2):
                    await asyncio.sleep(0)
        async with hearing(running) as (server, heard):
            while int((await server.call("INFO", "clients")).split(b"clients:")[1].split()[0]) > 1:
                await asyncio.sleep(0.01)
            await heard.changes.close()

    with_store(tmp_path, scenario)


def test_a_full_disk_is_no_loss() -> None:
    asked: list[str] = []

    def full() -> Error:
        asked.append("PING")
        return Error("MISCONF Errors writing to the AOF file: No space left on device")

    async def scenario(port: int) -> None:
        place = Place("redis", (("127.0.0.1", port),))
        server = Server(StoreKeys("", place, timeout=30.0, ttl=0.0)).hold()
        heard = Heard(server)
        await heard.begun()
        before = heard.changes.news()
        await heard.until(lambda: len(asked) > 3)
        assert heard.changes.news() == before
        assert heard.changes.trouble == ""
        await heard.changes.close()
        await server.close()

    subscribed = [b"subscribe", b"__redis__:invalidate", 1]
    with fake({"PING": full, "CLIENT": 1, "SUBSCRIBE": subscribed}) as port:
        run(scenario(port))
