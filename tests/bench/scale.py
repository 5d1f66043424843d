# SPDX-License-Identifier: MIT
"""Scale: what a query costs as the directory grows, and as more connections are open.

Also two processes on one socket, where there are two cores: with the load on the same two.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median

from . import peers
from .load import Held, measure
from .plan import Plan
from .process import LOAD_CORE, SERVER_CORE, Server, ServerError, listen

CLIENTS = 256
BESIDE = 16  # clients beside the open connections

Table = dict[str, dict[str, float]]


def _directory(folder: Path, users: int, settings: Sequence[str]) -> Path:
    """Write a configuration with a directory of `users` users, u0000000 and so on."""
    file = folder / f"users-{users}.toml"
    with file.open("w") as out:
        out.writelines(f'u{number:07d} = "Happy and well"\n' for number in range(users))
    source = f'type = "static"\nfile = "{file}"'
    return peers.config(folder / str(users), False, source, settings)


def directories(folder: Path, plan: Plan, tell: Callable[[str], None]) -> Table:
    """Return for each number of users "same": processor µs a query where all ask for one user,
    "any": where each asks for any of them; "start": seconds to the first answer, "mib": memory."""
    found: Table = {}
    samples: dict[tuple[int, str], list[float]] = {}
    with ExitStack() as stack:
        servers = {}
        for users in plan.users:
            conf = _directory(folder, users, plan.settings)
            peer = replace(peers.ours("users", "", conf), user="u0000001")
            begun = time.monotonic()
            try:
                servers[users] = stack.enter_context(Server(peer))
            except (ServerError, OSError) as error:
                tell(f"{users} users: {error}")
                continue
            found[str(users)] = {"start": time.monotonic() - begun}
        for _ in range(plan.repeats):
            for users, server in servers.items():
                for kind, names in (("same", 0), ("any", users)):
                    user = "u%" if names else server.peer.user
                    count = max(plan.scale, CLIENTS)
                    sample = measure(server, CLIENTS, count, names=names, user=user)
                    samples.setdefault((users, kind), []).append(sample.cpu_us)
                    found[str(users)]["bad"] = found[str(users)].get("bad", 0) + sample.bad
        for (users, kind), costs in samples.items():
            found[str(users)][kind] = median(costs)
            found[str(users)]["mib"] = servers[users].rss_kib() / 1024
    tell("directories")
    return found


def connections(conf: Path, plan: Plan, tell: Callable[[str], None]) -> Table:
    """Return for each number of open connections "us": processor µs for a query of others."""
    found: Table = {}
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 100
    for held in plan.open:
        if held > most:
            tell(f"{held} open connections: more than the limit of {most} descriptors")
            continue
        with Server(peers.ours("open", "", conf)) as server, Held(server, held, octets=1) as open_:
            time.sleep(plan.quiet)
            costs = [measure(server, BESIDE, plan.scale) for _ in range(plan.repeats)]
            found[str(held)] = {
                "held": float(open_.held),
                "us": median(sample.cpu_us for sample in costs),
                "bad": float(sum(sample.bad for sample in costs)),
            }
    tell("open connections")
    return found


def processes(conf: Path, plan: Plan, tell: Callable[[str], None]) -> Table:
    """Return for one and two processes on one socket "per_second", and "us": theirs for a query.

    On machines of two cores the load takes its share of both, so this shows what is gained there.
    """
    found: Table = {}
    cores = sorted(os.sched_getaffinity(0))
    for number in (1, 2):
        if number > len(cores):
            break
        peer = peers.ours("processes", "", conf)
        with ExitStack() as stack, listen() as socket:
            servers = [
                stack.enter_context(Server(peer, core=core, listener=socket))
                for core in (SERVER_CORE, LOAD_CORE)[:number]
            ]
            rates, costs = [], []
            for _ in range(plan.repeats):
                before = sum(server.cpu_us() for server in servers)
                sample = measure(servers[0], CLIENTS, plan.count(peer, CLIENTS))
                used = sum(server.cpu_us() for server in servers) - before
                rates.append(sample.per_second)
                costs.append(used / sample.queries)
        found[str(number)] = {"per_second": median(rates), "us": median(costs)}
    tell("processes on one socket")
    return found
