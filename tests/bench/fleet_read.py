# SPDX-License-Identifier: MIT
"""What one server does to know who is on everywhere: in its loop, and in the store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import NamedTuple

from fingerd_sd.store.presence.everywhere import KEPT, RENEWED, Everywhere
from fingerd_sd.store.server import Server

from ..helpers.store import Running
from .fleet_hosts import TOLD, Hosts, tellings
from .fleet_store import EACH, Watched, login
from .people import FIRST_UID

ASKED = 1000  # users whose sessions are asked for


class Reading(NamedTuple):
    """One reading. `ms`: processor time of the loop; `longest`: of what the loop did at one turn,
    so how long another client may have waited; `store_ms`: the store's.
    """

    what: str
    ms: float
    longest: float
    store_ms: float


async def _turns(longest: list[float]) -> None:
    """Note the processor milliseconds of the longest turn of the loop."""
    before = time.thread_time()
    while True:
        await asyncio.sleep(0)
        now = time.thread_time()
        longest[0] = max(longest[0], (now - before) * 1e3)
        before = now


async def _timed(what: str, watched: Watched, work: Awaitable[object]) -> Reading:
    longest = [0.0]
    turns = asyncio.get_running_loop().create_task(_turns(longest))
    await asyncio.sleep(0.01)
    turns.cancel()
    longest = [0.0]
    with watched.spent() as spent:
        before, own = time.thread_time(), 0.0
        turns = asyncio.get_running_loop().create_task(_turns(longest))
        await work
        await asyncio.sleep(0)
        own = time.thread_time() - before
        turns.cancel()
    return Reading(what, own * 1e3, longest[0], spent.cpu * 1e3)


async def _readings(running: Running, watched: Watched, count: int) -> tuple[list[Reading], float]:
    now = 0.0
    server = Server(running.keys())
    known = Everywhere(server, lambda: now)
    found = []
    try:
        await server.call("PING")
        found.append(await _timed(f"all {count} hosts, first", watched, known.known()))
        now += KEPT
        found.append(await _timed("none has changed", watched, known.known()))
        for changed in sorted({1, max(1, count // 15), count}):
            with Hosts(running.socket, changed) as hosts:
                hosts.all(tellings(server, changed, 100.0 + changed), TOLD)
            now += KEPT
            found.append(await _timed(f"{changed} hosts have", watched, known.known()))
        now += RENEWED
        found.append(await _timed(f"all {count} hosts, once a minute", watched, known.known()))
        assert len(await known.who() or ()) == count * EACH
        before = time.thread_time()
        for number in range(ASKED):
            await known.of(login(number % (count * EACH)), FIRST_UID + number % (count * EACH))
        return found, (time.thread_time() - before) / ASKED * 1e6
    finally:
        await known.close()
        await server.close()


def readings(running: Running, watched: Watched, count: int) -> tuple[list[Reading], float]:
    """Return what it costs to read what `count` hosts told; and the processor microseconds to tell
    the sessions of one user from that.
    """
    return asyncio.run(_readings(running, watched, count))
