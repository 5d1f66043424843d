# SPDX-License-Identifier: MIT
"""The role presence, by a real store: what it tells at once and later; it takes that back."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from fingerd_sd.config.store import StoreKeys
from fingerd_sd.process.systemd import LoginMonitor
from fingerd_sd.serving.presence import service
from fingerd_sd.serving.presence.reading import sessions_here
from fingerd_sd.serving.presence.service import Presence, Setup
from fingerd_sd.sources.accounts.sessions.logind import LoggedIn
from fingerd_sd.store.presence.told import Told, sessions_in
from fingerd_sd.store.server import Server

from ...helpers.store import store

ON = Told("alice", 1000, 1_790_000_000.0, "pts/0")
BOB = Told("bob", 1001, 1_790_000_000.0)


class Monitor:
    """Tells of a change when a test says that there is one."""

    def __init__(self) -> None:
        self.ours, self.theirs = os.pipe()

    def fileno(self) -> int:
        return self.ours

    def changed(self) -> bool:
        return bool(os.read(self.ours, 1))

    def change(self) -> None:
        os.write(self.theirs, b".")

    def close(self) -> None:
        os.close(self.ours)
        os.close(self.theirs)


class Here:
    """What a host has."""

    def __init__(self) -> None:
        self.sessions: list[Told] | Exception = [ON]
        self.monitor = Monitor()

    def __call__(self) -> list[Told]:
        if isinstance(self.sessions, Exception):
            raise self.sessions
        return self.sessions


@asynccontextmanager
async def telling(keys: StoreKeys, here: Here) -> AsyncIterator[Presence]:
    """Yield a role that tells what is `here`."""
    loop = asyncio.get_running_loop()
    role = Presence(loop, Setup(keys, "login1"), here, lambda: cast(LoginMonitor, here.monitor))
    role.start(())
    try:
        yield role
    finally:
        await role.close()
        loop.remove_reader(here.monitor.ours)
        here.monitor.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def told(server: Server, host: str = "login1") -> tuple[Told, ...] | None:
    """Return what the store has of `host`; None: nothing."""
    octets = await server.call("GET", server.names.sessions_of(host))
    return None if octets is None else sessions_in(octets)


def test_it_tells_at_once_and_after_a_change_and_takes_it_back(tmp_path: Path) -> None:
    async def scenario(keys: StoreKeys) -> None:
        server, here = Server(keys), Here()
        async with telling(keys, here) as role:
            await until(lambda: "1 sessions on login1" in role.counts)
            assert await told(server) == (ON,)
            assert 80 < await server.call("TTL", server.names.sessions_of("login1")) <= 90
            here.sessions = [ON, BOB]
            here.monitor.change()
            await until(lambda: "2 sessions on login1" in role.counts)
            assert await told(server) == (ON, BOB)
            assert role.trouble == ""
            assert role.open == 0
        assert await told(server) is None
        await server.close()

    with store(tmp_path) as running:
        asyncio.run(scenario(running.keys()))


def test_it_says_why_the_store_does_not_know_and_heals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service, "AGAIN", 0.01)
    monkeypatch.setattr("fingerd_sd.store.server.AGAIN", 0.01)

    async def scenario(keys: StoreKeys) -> None:
        here = Here()
        here.sessions = OSError("no logind")
        async with telling(keys, here) as role:
            await until(lambda: bool(role.trouble))
            assert role.trouble == "who is logged in here cannot be known: no logind"
            assert role.counts == "the store knows nothing of login1"
            here.sessions = [ON]
            await until(lambda: not role.trouble)
            assert role.counts.startswith("1 sessions on login1")

    with store(tmp_path) as running:
        asyncio.run(scenario(running.keys()))
    assert [record.levelname for record in caplog.records if "cannot be known" in record.message]


def test_a_store_that_is_down_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "AGAIN", 0.01)

    async def scenario(keys: StoreKeys) -> None:
        async with telling(keys, Here()) as role:
            await until(lambda: bool(role.trouble))
            assert role.trouble.startswith("the store at")

    with store(tmp_path) as running:
        pass
    asyncio.run(scenario(running.keys()))


def test_another_configuration_takes_the_old_name_back(tmp_path: Path) -> None:
    async def scenario(keys: StoreKeys) -> None:
        server = Server(keys)
        async with telling(keys, Here()) as role:
            await until(lambda: "on login1" in role.counts and "told" in role.counts)
            role.use(Setup(keys, "login1"))
            role.use(Setup(keys, "login2"))
            await until(lambda: "1 sessions on login2" in role.counts)
            assert await told(server) is None
            assert await told(server, "login2") == (ON,)
        assert await told(server, "login2") is None
        await server.close()

    with store(tmp_path) as running:
        asyncio.run(scenario(running.keys()))


def test_what_is_told_of_a_session() -> None:
    seen = [
        LoggedIn("alice", 200.25, "no-such-tty", "203.0.113.7", 300.4, uid=1000),
        LoggedIn("root", 100, ":0"),  # of utmp: NSS has the uid
        LoggedIn("a\nb", 100, uid=1000),
        LoggedIn("nobody has this name", 100),
        LoggedIn("bob", 1e30, uid=1001),
    ]
    assert sessions_here(lambda: (seen, "a test"), lambda: 1000.0) == [
        Told("root", 0, 100, ":0", None, None, False),
        Told("alice", 1000, 200.25, "no-such-tty", "203.0.113.7", 300.0),
    ]
