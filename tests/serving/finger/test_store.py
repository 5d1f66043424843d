# SPDX-License-Identifier: MIT
"""Finger on a host of a fleet: it starts without the store, says so, heals, and may get another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fingerd_sd.commands.building import ruip_of
from fingerd_sd.commands.settings import load_from
from fingerd_sd.serving.finger.service import Finger, Setup
from fingerd_sd.store import server as server_module

from ...helpers import needs
from ...helpers.store import Running, store
from ...helpers.wire import run

needs.modules("redis")

CONFIG = """
[store]
url = "unix://{socket}"

[[source]]
type = "published"
sessions = "fleet"

[[source]]
type = "accounts"
sessions = "fleet"
"""


def made(folder: Path, running: Running) -> Setup:
    """Return what is read from a configuration that names the store."""
    file = folder / "fingerd.toml"
    file.write_text(CONFIG.format(socket=running.socket))
    loaded = load_from(file)
    return Setup(ruip_of(loaded), loaded.limits, None, loaded.idle_exit)


@asynccontextmanager
async def served(one: Setup) -> AsyncIterator[Finger]:
    """Yield what serves, without a socket."""
    finger = Finger(asyncio.get_running_loop(), one)
    finger.start([])
    try:
        yield finger
    finally:
        await finger.close()


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not what():
            await asyncio.sleep(0.01)


def test_it_starts_without_the_store_says_so_and_heals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server_module, "AGAIN", 0.02)
    caplog.set_level("INFO", server_module.__name__)

    async def scenario(running: Running) -> None:
        running.stop()
        async with served(made(tmp_path, running)) as finger:
            told: list[str] = []

            def tell() -> None:
                told.append(finger.trouble)
                finger.on_change = tell

            finger.on_change = tell
            await until(lambda: bool(told))
            assert set(told) == {finger.trouble}
            assert told[0].startswith("the store at ")
            assert told[0].count("cannot be reached") == 1  # although two sources ask it
            await asyncio.to_thread(running.start)
            await until(lambda: finger.trouble == "")
            assert told[-1] == ""

    with store(tmp_path) as running:
        run(scenario(running))
    events = [getattr(record, "event", "") for record in caplog.records]
    assert events[0] == "STORE_FAILS"
    assert events[-1] == "STORE_BACK"


def test_another_configuration_leaves_no_connection_to_the_store_before(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()

    from fingerd_sd.store.link import Door, Link

    async def clients(link: Link) -> int:
        (said,) = await link.exchange(("INFO", "clients"))
        return int(said.split(b"connected_clients:")[1].split()[0]) - 1

    async def scenario(one: Running, two: Running) -> None:
        links = [await Link.open(Door(path=running.socket)) for running in (one, two)]
        before, after = links

        async def settled(link: Link, *numbers: int) -> None:
            async with asyncio.timeout(30):
                while await clients(link) not in numbers:
                    await asyncio.sleep(0.01)

        async with served(made(tmp_path, one)) as finger:
            some = 2, 3  # one to hear of changes, and two sources may read the sessions at once
            await settled(before, *some)
            for _ in range(3):
                finger.use(made(tmp_path, one))
                await settled(before, *some)
            finger.use(made(tmp_path, two))
            await settled(before, 0)
            await settled(after, *some)
        await settled(after, 0)
        for link in links:
            await link.close()

    with store(folders[0]) as one, store(folders[1]) as two:
        run(scenario(one, two))
