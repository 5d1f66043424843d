# SPDX-License-Identifier: MIT
"""One server of a fleet as a process: what its start, memory, answers and lists take."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from fingerd_sd.store.keys import Names

from . import peers
from .fleet_hosts import TOLD, Hosts
from .fleet_store import Pipe, entry, host, login, packed
from .load import measure
from .process import Server, ask

CLIENTS = 64
LOOK_UPS = 300  # one after the other, of users who were not asked for before
SETTLE = 2.1  # seconds after which nothing of before is kept
FIRST = login(0)  # whose answer load.c takes for that of all, but for the name
PLANS, EVERYBODY = "127.0.0.2", "127.0.0.3"  # clients of those audiences
SOURCES = """type = "published"
sessions = "fleet"
max_uid = 4000000

[store]
url = "unix://{path}"
hosts = ["{host}"]

[[audience]]
name = "plans"
networks = ["127.0.0.2/32"]
list = "plans"
rate = 0

[[audience]]
name = "everybody"
networks = ["127.0.0.3/32"]
list = "sessions"
show = ["name", "sessions", "plan"]
rate = 0

[[audience]]
name = "load"
networks = ["127.0.0.1/32"]
show = ["name", "office", "phone", "plan"]
rate = 0"""


TITLES = (
    *("start, s", "memory, MiB", "after all this, MiB", "new look-up, ms", "first asking, µs"),
    *("kept, µs", "who is on, ms", "rows", "again, ms", "at one host, ms", "list of plans, ms"),
)


class Front(NamedTuple):
    """What was measured with one process. Times in ms, but for `start` in seconds; memory in MiB.
    `kept`, `first`: processor µs for an answer; `rows`: in the list of who is on.
    """

    start: float
    idle: float
    look_up: float
    first: float
    kept: float
    everybody: float
    rows: int
    again: float
    at_host: float
    plans: float
    memory: float

    def row(self) -> list[str]:
        """Return what stands under TITLES."""
        return [
            *(f"{self.start:.2f}", f"{self.idle:.0f}", f"{self.memory:.0f}", f"{self.look_up:.2f}"),
            *(f"{self.first:.0f}", f"{self.kept:.0f}", f"{self.everybody:.0f}", f"{self.rows:,}"),
            *(f"{self.again:.1f}", f"{self.at_host:.0f}", f"{self.plans:.0f}"),
        ]


def _timed(server: Server, line: str, source: str = "127.0.0.1") -> tuple[float, list[bytes]]:
    """Return the milliseconds that the answer to `line` takes, and its lines."""
    begun = time.monotonic()
    said = ask(server.port, line.encode(), source=source)
    return (time.monotonic() - begun) * 1e3, said.splitlines()


@contextmanager
def front(path: str) -> Iterator[Server]:
    """Start a server of a fleet whose store is at `path`."""
    with TemporaryDirectory() as name:
        conf = peers.config(Path(name), False, SOURCES.format(path=path, host=host(3)))
        peer = replace(peers.ours("fleet", "", conf), user=FIRST, answer=None)
        with Server(peer) as server:
            yield server


def measured(path: str, people: int, count: int) -> Front:
    """Return what one server takes where `people` have published. `count`: queries of each kind."""
    begun = time.monotonic()
    with front(path) as server:
        start, idle = time.monotonic() - begun, server.rss_kib() / 1024
        step = max(1, people // LOOK_UPS)
        look_ups = []
        for number in range(1, people, step):
            taken, said = _timed(server, login(number))
            assert b"Working on the engine." in b"".join(said), said
            look_ups.append(taken)
        time.sleep(SETTLE)
        asked = min(count, people // 2)
        first = measure(server, CLIENTS, asked, names=people, user="b%", first=1)
        kept = measure(server, CLIENTS, count, names=0, user=FIRST)
        assert first.bad == kept.bad == 0, (first, kept)
        everybody, rows = _timed(server, "", EVERYBODY)
        again, _ = _timed(server, "", EVERYBODY)
        at_host, there = _timed(server, f"@{host(3)}", EVERYBODY)
        assert any(host(3).encode() in line for line in there), there
        plans, said = _timed(server, "", PLANS)
        assert len(said) > min(people, 100), said
        return Front(
            start=start,
            idle=idle,
            look_up=median(look_ups),
            first=first.cpu_us,
            kept=kept.cpu_us,
            everybody=everybody,
            rows=len(rows) - 1,  # under one of titles
            again=again,
            at_host=at_host,
            plans=plans,
            memory=server.rss_kib() / 1024,
        )


@contextmanager
def publishing(path: str, names: Names, rate: float) -> Iterator[None]:
    """Have somebody on another host publish `rate` times a second during the block."""
    enough = threading.Event()
    one = entry(1, 1)

    def run() -> None:
        with Pipe(path) as pipe:
            number = 0
            while not enough.wait(1 / rate):
                number += 1
                pipe.send([packed("HSET", names.person(one.login), "at", repr(one.at + number))])

    thread = threading.Thread(target=run)
    if rate:
        thread.start()
    try:
        yield
    finally:
        enough.set()
        if rate:
            thread.join()


def beside_publishes(
    path: str, names: Names, rates: tuple[float, ...], count: int
) -> dict[float, float]:
    """Return the processor µs for an answer about the same user, by the publishes of others in a
    second.
    """
    found = {}
    with front(path) as server:
        measure(server, CLIENTS, count)  # to warm up
        for rate in rates:
            with publishing(path, names, rate):
                sample = measure(server, CLIENTS, count)
            assert sample.bad == 0, sample
            found[rate] = sample.cpu_us
    return found


def period(path: str, commands: list[bytes], seconds: float) -> tuple[float, int]:
    """Have hosts tell `commands` evenly over `seconds`, beside a server that is asked who is on all
    the time. Return the processor seconds of that server, and how often it was asked.
    """
    with front(path) as server, Hosts(path, len(commands)) as hosts:
        telling = threading.Thread(target=hosts.paced, args=(commands, TOLD, seconds))
        before, times = server.cpu_us(), 0
        telling.start()
        while telling.is_alive():
            _timed(server, login(times % 50), EVERYBODY)
            times += 1
            time.sleep(0.2)
        telling.join()
        return (server.cpu_us() - before) / 1e6, times
