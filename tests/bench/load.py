# SPDX-License-Identifier: MIT
"""Run the load generator (load.c) against a server, and read what it found."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, dataclass
from typing import IO

from ..helpers.ended import Ended
from . import build
from .process import LOAD_CORE, Server

MANY = 9_999_999  # names, load.c's most
SECONDS = 90  # after which the load generator stops by itself


@dataclass(frozen=True)
class Sample:
    """One run of the load generator: microseconds, of the server for each query, and counts."""

    queries: int
    ok: int
    bad: int  # answers lost, cut, wrong, or refused connections
    reset: int  # whole answers with a reset behind them
    cpu_us: float  # the server's processor time for each query
    load_us: float  # the load generator's
    per_second: float
    p50_us: float
    p99_us: float
    max_us: float
    load_busy: float  # which part of the time the load generator was busy: 1 is its limit
    logged: int = 0  # entries that the stand-in for journald got

    def as_dict(self) -> dict[str, float]:
        """Return it as JSON has it."""
        return asdict(self)


def command(server: Server, **options: str | int) -> list[str]:
    """Return the load generator's command for `server`; `options` as load.c names them."""
    defaults: dict[str, str | int] = {
        "user": server.peer.user,
        "seconds": SECONDS,
        "core": LOAD_CORE,
    }
    parts = [f"{name}={value}" for name, value in (defaults | options).items()]
    return [str(build.compiled("load")), "127.0.0.1", str(server.port), str(server.expect), *parts]


def raw(server: Server, **options: str | int) -> dict[str, float]:
    """Return what the load generator prints, unread."""
    done = subprocess.run(command(server, **options), stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure(server: Server, clients: int, count: int, **options: str | int) -> Sample:
    """Ask `count` queries of `server` by `clients` at once."""
    logged = server.drain.count() if server.drain else 0
    before = server.cpu_us()
    found = raw(server, clients=clients, count=count, **options)
    used = server.cpu_us() - before
    if server.drain:
        logged = server.drain.count() - logged
    return Sample(
        queries=count,
        ok=int(found["ok"]),
        bad=int(found["cut"] + found["lost"] + found["wrong"] + found["refused"]),
        reset=int(found["reset_after"]),
        cpu_us=used / count,
        load_us=found["cpu_us"] / count,
        per_second=count * 1e6 / found["wall_us"],
        p50_us=found["p50_us"],
        p99_us=found["p99_us"],
        max_us=found["max_us"],
        load_busy=min(1.0, found["cpu_us"] / found["wall_us"]),
        logged=logged,
    )


class Held(Ended):
    """Connections held open beside other clients: silent, or with `octets` sent but no line; or,
    by `asking`, each for another name of that pattern (see load.c), waiting for its answer."""

    def __init__(self, server: Server, connections: int, octets: int = 0, asking: str = "") -> None:
        options: dict[str, str | int] = {"mode": "hold", "octets": octets, "seconds": 300}
        if asking:
            options |= {"mode": "wait", "user": asking, "names": MANY, "first": 1}
        self._process = subprocess.Popen(
            command(server, clients=connections, **options),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.held = int(self._output.readline().split()[1])

    @property
    def _output(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def leave(self, failed: bool = False) -> None:
        """Close them all."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._output.close()
