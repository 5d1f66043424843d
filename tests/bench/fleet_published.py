# SPDX-License-Identifier: MIT
"""What it costs that users publish into a store that hosts share, beside a file of one host.

Prints Markdown tables. The servers are real processes, asked in turns: one with a static directory,
one with the keeper's file, and two with the store, on a host with accounts and on one without. The
store is a real one on a Unix socket, which puts each change on the disk. What is published during
the measurement goes by the keeper's own code, as from another host.

    python3 -m tests.bench.fleet_published [--users 5000] [--rounds 9]
"""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from fingerd_sd.config.publish import PublishKeys
from fingerd_sd.serving.publishing.wire import Request
from fingerd_sd.serving.publishing.writing.fleet import Fleet
from fingerd_sd.store.keys import Names
from fingerd_sd.store.server import Server as Store

from ..helpers.published import NOON, Folder
from ..helpers.store import Running, store
from . import peers, people
from .fleet_store import PLAN, entry, fill, login
from .load import measure
from .people import FIRST_UID
from .process import Server, ask

STATIC, FILE, HERE, FRONT = "static", "file of one host", "store", "store, no accounts here"
KEPT = 20_000  # queries for one user in a round
NEW = 500  # users in a round who were not asked for before, at most
CLIENTS = 64
PUBLISHED = 'type = "published"\nmax_uid = 4000000'
STORE = '\n\n[store]\nurl = "unix://{path}"'
MANY = PublishKeys(per_hour=0, max_people=10_000_000)


def start(stack: ExitStack, folder: Path, running: Running, users: int) -> dict[str, Server]:
    """Start the servers, with `users` users who have published."""
    stored = folder / "keeper"
    stored.mkdir()
    rows = (entry(number, 1) for number in range(users))
    Folder(stored).fill(
        (one.login, {"uid": one.uid, "at": one.at, "plan": one.plan}) for one in rows
    )
    accounts, environment = people.accounts(users, at_home=False)
    keeper = (
        "; mount -t tmpfs tmpfs /var/lib; mkdir /var/lib/fingerd-sd"
        f"; mount --bind '{stored}' /var/lib/fingerd-sd"
    )
    text = PLAN.replace("\n", "\\n")
    static = f'type = "static"\nusers = {{ {login(0)} = {{ plan = "{text}" }} }}'
    shared = PUBLISHED + STORE.format(path=running.socket)
    servers: dict[str, Server] = {}
    for name, source, mounts, given in (
        (STATIC, static, "", {}),
        (FILE, PUBLISHED, accounts + keeper, environment),
        (HERE, shared, accounts, environment),
        (FRONT, shared, "", {}),
    ):
        conf = peers.config(
            folder / str(len(servers)), False, source + "\n\n[[audience]]\nrate = 0"
        )
        peer = replace(peers.ours(name, "", conf), user=login(0), answer=None)
        peer = replace(peer, mounts=mounts, environment=given)
        servers[name] = stack.enter_context(Server(peer))
    return servers


def _kept_and_new(servers: dict[str, Server], rounds: int, users: int, count: int) -> None:
    """Print what kept answers and first ones take, in turns."""
    kept: dict[str, list[float]] = {name: [] for name in servers}
    new: dict[str, list[float]] = {name: [] for name in servers}
    waits: dict[str, list[float]] = {name: [] for name in servers}
    each = min(NEW, (users - 1) // rounds)
    for number in range(rounds):
        for name in sorted(servers, key=lambda name: hash((name, number))):
            server = servers[name]
            ask(server.port, login(0).encode())
            sample = measure(server, CLIENTS, count)
            assert sample.bad == 0, sample
            kept[name].append(sample.cpu_us)
            if name == STATIC:
                continue
            first = 1 + number * each
            before = server.cpu_us()
            for one in range(first, first + each):
                begun = time.monotonic()
                said = ask(server.port, login(one).encode())
                waits[name].append((time.monotonic() - begun) * 1e3)
                assert b"Working on the engine." in said, said
            new[name].append((server.cpu_us() - before) / each)
    print("| users are in | kept, µs | to the file's | new, µs | new, ms | p99 |")
    print("|---|--:|--:|--:|--:|--:|")
    for name in servers:
        ratio = median(mine / other for mine, other in zip(kept[name], kept[FILE], strict=True))
        row = [name, f"{median(kept[name]):.1f}", f"{ratio:.3f}"]
        if new[name]:
            row += [f"{median(new[name]):.0f}", f"{median(waits[name]):.2f}"]
            row += [f"{_last(waits[name], 0.99):.2f}"]
        else:
            row += ["", "", ""]
        print(f"| {' | '.join(row)} |", flush=True)


async def _publishes(servers: dict[str, Server], running: Running, count: int) -> None:
    """Print how soon a publish elsewhere is seen by who asks for a user whose answer is kept."""
    writing = Fleet(Store(running.keys()._replace(host="login0")))
    took: list[float] = []
    seen: dict[str, list[float]] = {HERE: [], FRONT: []}
    old = dict.fromkeys(seen, 0)
    for number in range(count):
        for name, server in servers.items():
            if name not in seen:
                continue
            user = login(0).encode()
            ask(server.port, user)
            ask(server.port, user)
            plan = f"Publish {number} for {name}."
            begun = time.monotonic()
            await writing.publish(login(0), FIRST_UID, Request("p", {"plan": plan}), MANY, NOON)
            done = time.monotonic()
            took.append((done - begun) * 1e3)
            while plan.encode() not in await asyncio.to_thread(ask, server.port, user):
                old[name] += 1
            seen[name].append((time.monotonic() - done) * 1e3)
    await writing.close()
    print(f"\n{count} publishes, ms each: median {median(took):.2f}, p99 {_last(took, 0.99):.2f}\n")
    print("| after it, the changed answer at a server with | median, ms | p99, ms | most | old |")
    print("|---|--:|--:|--:|--:|")
    for name, waits in seen.items():
        words = [f"{median(waits):.2f}", f"{_last(waits, 0.99):.2f}", f"{max(waits):.2f}"]
        print(f"| {name} | {' | '.join(words)} | {old[name]} |", flush=True)


def _last(values: Sequence[float], share: float) -> float:
    return sorted(values)[math.ceil(share * len(values)) - 1]


def main(words: Sequence[str] | None = None) -> int:
    """Measure, as `words` or the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--users", type=int, default=5000)
    parser.add_argument("--publishes", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--kept", type=int, default=KEPT)
    asked = parser.parse_args(words)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        running = stack.enter_context(store(folder))
        fill(running.socket, Names("fingerd-sd"), range(asked.users), 1)
        servers = start(stack, folder, running, asked.users)
        _kept_and_new(servers, asked.rounds, asked.users, asked.kept)
        asyncio.run(_publishes(servers, running, asked.publishes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
