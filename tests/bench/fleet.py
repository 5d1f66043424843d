# SPDX-License-Identifier: MIT
"""How far one store goes: many hosts that tell it who is on, and a million plans.

Prints Markdown tables. One real server of Redis or Valkey stands on a Unix socket; what hosts send
it goes over connections of their own, and a real finger process reads it. What users have published
is written in bulk, in the form that the keeper writes.

    python3 -m tests.bench.fleet [--hosts 1000] [--plans 1000 1000000] [--seconds 30]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from fingerd_sd.store.server import Server

from ..helpers.store import Running, store
from . import fleet_front, fleet_hosts, fleet_read
from .fleet_hosts import TOLD, Hosts, tellings
from .fleet_store import EACH, Watched, fill, only_fast

COUNT = 4000  # queries of each kind
ROUNDS = 5
PUBLISHES = (0.0, 1.0, 10.0, 100.0)  # a second
CONNECTIONS = 4  # of each host
REWRITE = 300.0  # seconds that the store may take to write its log anew


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print(f"\n| {' | '.join(titles)} |\n|---|{'--:|' * (len(titles) - 1)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    sys.stdout.flush()


def _told(watched: Watched, server: Server, hosts: int, moved: float = 0.0) -> None:
    """Have all hosts tell; it is good for 90 s."""
    with Hosts(watched.path, hosts) as telling:
        telling.all(tellings(server, hosts, moved), TOLD)


def _memory_and_fronts(
    watched: Watched, server: Server, hosts: int, plans: Sequence[int], count: int
) -> None:
    memory, fronts = [], []

    def told(what: str, things: int, before: float) -> float:
        used, resident = watched.memory()
        each = f"{(used - before) * (1 << 20) / things:,.0f}" if things else ""
        memory.append((what, f"{used:,.1f}", f"{resident:,.0f}", each))
        return used

    used = told("nothing", 0, 0.0)
    _told(watched, server, hosts)
    used = told(f"{hosts:,} hosts with {EACH} sessions", hosts, used)
    there = 0
    for number in plans:
        begun = time.monotonic()
        with only_fast(watched):
            fill(watched.path, server.names, range(there, number), hosts)
        print(f"{number:,} plans, in {time.monotonic() - begun:.0f} s", file=sys.stderr)
        used = told(f"and {number:,} plans", number - there, used)
        there = number
        _told(watched, server, hosts)
        one = fleet_front.measured(watched.path, number, count)
        fronts.append((f"{number:,}", *one.row()))
    each = fleet_hosts.connected(watched, CONNECTIONS * hosts)
    connections = f"{CONNECTIONS * hosts:,} connections"
    memory.append(
        (connections, f"{each * CONNECTIONS * hosts / 1024:.1f}", "", f"{each * 1024:.0f}")
    )
    _table(("in the store", "data, MiB", "process, MiB", "octets each"), memory)
    _table(("plans", *fleet_front.TITLES), fronts)


def _store(watched: Watched, server: Server, hosts: int, plans: int, count: int) -> None:
    costs = fleet_hosts.costs(watched, server, hosts, plans, ROUNDS)
    _table(
        (f"{hosts:,} hosts at once", "store, µs each", "done in a second", "octets of a reply"),
        ((c.what, f"{c.us:.0f}", f"{c.rate:,.0f}", f"{c.octets:,.0f}") for c in costs),
    )
    heard = fleet_hosts.heard(watched, server, (1, max(1, hosts // 10), hosts), 4 * ROUNDS)
    _table(
        ("servers that hear of a publish", "store, µs for it"),
        ((f"{number:,}", f"{us:,.0f}") for number, us in heard.items()),
    )
    beside = fleet_front.beside_publishes(watched.path, server.names, PUBLISHES, count)
    _table(
        ("publishes of others in a second", "a kept answer, µs"),
        ((f"{rate:g}", f"{us:.0f}") for rate, us in beside.items()),
    )


def _server(running: Running, watched: Watched, server: Server, hosts: int) -> None:
    _told(watched, server, hosts)
    readings, each = fleet_read.readings(running, watched, hosts)
    rows = [
        (one.what, f"{one.ms:.1f}", f"{one.longest:.1f}", f"{one.store_ms:.1f}") for one in readings
    ]
    rows.append(("one user, from what is known", f"{each / 1000:.3f}", "", ""))
    _table(("a server reads", "its loop, ms", "longest turn, ms", "store, ms"), rows)


def _period(watched: Watched, server: Server, hosts: int, seconds: float) -> None:
    told = tellings(server, hosts, 500.0)
    before = int(watched.info("stats")["total_commands_processed"])
    with watched.spent() as spent:
        used, times = fleet_front.period(watched.path, told, seconds)
    done = int(watched.info("stats")["total_commands_processed"]) - before
    asked, commands = times / spent.wall, done / spent.wall
    alive = fleet_hosts.idle(watched, hosts)
    _table(
        (f"{hosts:,} hosts, each once in {seconds:g} s", "share of a core"),
        (
            (f"the store, for {commands:.0f} commands a second", f"{spent.cpu / spent.wall:.1%}"),
            (f"a server that is asked {asked:.0f} times a second", f"{used / spent.wall:.1%}"),
            (f"the store, for {hosts:,} servers that hear, and are not asked", f"{alive:.1%}"),
        ),
    )


def _restart(running: Running, watched: Watched) -> None:
    begun = time.monotonic()
    watched.said("BGREWRITEAOF")
    time.sleep(0.2)
    while watched.info("persistence")["aof_rewrite_in_progress"] == "1":
        assert time.monotonic() < begun + REWRITE, "the store does not end the new log"
        time.sleep(0.05)
    rewrite = time.monotonic() - begun
    size = int(watched.info("persistence")["aof_current_size"]) / (1 << 20)
    running.stop()
    begun = time.monotonic()
    running.start()
    _table(
        ("the store alone", "s"),
        (
            (f"writes its log anew, {size:,.0f} MiB", f"{rewrite:.1f}"),
            ("starts after a crash", f"{time.monotonic() - begun:.1f}"),
        ),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="tests.bench.fleet", description=__doc__)
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--plans", type=int, nargs="+", default=[1000, 1_000_000])
    parser.add_argument("--seconds", type=float, default=30.0, help="in which each host tells once")
    parser.add_argument("--count", type=int, default=COUNT, help="queries of each kind")
    parser.add_argument(
        "--option", nargs=2, action="append", default=[], help="of the store's configuration"
    )
    asked = parser.parse_args(argv)
    options = [word for name, value in asked.option for word in (f"--{name}", value)]
    options += ["--auto-aof-rewrite-percentage", "0"]
    with TemporaryDirectory() as name, store(Path(name), *options) as running:
        watched, server = Watched(running), Server(running.keys())
        print(f"Redis {watched.info('server')['redis_version']}, {asked.hosts:,} hosts")
        fleet_hosts.loaded(watched)
        plans = sorted(asked.plans)
        _memory_and_fronts(watched, server, asked.hosts, plans, asked.count)
        _store(watched, server, asked.hosts, plans[-1], asked.count)
        _server(running, watched, server, asked.hosts)
        _period(watched, server, asked.hosts, asked.seconds)
        _restart(running, watched)
    return 0


if __name__ == "__main__":
    sys.exit(main())
