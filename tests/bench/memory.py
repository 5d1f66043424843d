# SPDX-License-Identifier: MIT
"""Resident memory: idle, after many queries, for silent clients; and what those cost the others.

Each figure comes from a fresh process. The kernel's own memory for sockets is not in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median

from .load import Held, Sample, measure
from .peers import Peer
from .plan import Plan
from .process import Server, ServerError

CLIENTS = 256


def growth(peer: Peer, plan: Plan) -> dict[str, float]:
    """Return KiB: "idle", after the first answer; "warm", after the first 1 % of the queries;
    "after" all of them."""
    with Server(peer) as server:
        time.sleep(plan.quiet)
        idle = server.rss_kib()
        first = plan.growth // 100
        measure(server, min(CLIENTS, first), first)
        warm = server.rss_kib()
        measure(server, CLIENTS, plan.growth - first)
        return {"idle": idle, "warm": warm, "after": server.rss_kib()}


def silent(peer: Peer, plan: Plan) -> dict[str, float]:
    """Hold silent connections to one server and none to another of the same kind, asked in turn.

    Return "kib" for each connection; of the other clients without and beside them: queries a
    second, the ratio within each turn, processor time. A process a query: fewer, and no others.
    """
    with Server(peer) as alone, Server(peer) as server:
        samples: list[tuple[Sample, Sample]] = []
        count = plan.count(peer, CLIENTS)
        measure(server, CLIENTS, count)
        time.sleep(plan.quiet)
        before = server.rss_kib()
        with Held(server, plan.silent // (100 if peer.forks else 1) or 1) as held:
            time.sleep(plan.quiet + (plan.defer_seconds if peer.defer else 0))
            kib = (server.rss_kib() - before) / held.held
            if not peer.forks:
                measure(alone, CLIENTS, count)
                for _ in range(plan.repeats):
                    samples.append(
                        (measure(alone, CLIENTS, count), measure(server, CLIENTS, count))
                    )
    found = {"held": float(held.held), "kib": kib}
    if samples:
        without, beside = zip(*samples, strict=True)
        for name, those in (("without", without), ("beside", beside)):
            found[name] = median(sample.per_second for sample in those)
            found[f"{name}_us"] = median(sample.cpu_us for sample in those)
        found["ratio"] = median(b.per_second / a.per_second for a, b in samples)
        found["bad"] = float(sum(sample.bad for pair in samples for sample in pair))
    return found


def memory(
    peers: Sequence[Peer], plan: Plan, tell: Callable[[str], None]
) -> dict[str, dict[str, float]]:
    """Return for each peer what growth() and silent() found, the former without "after" where each
    query has a process of its own."""
    found: dict[str, dict[str, float]] = {}
    for peer in peers:
        try:
            part = growth(peer, plan) if not peer.forks else {}
            found[peer.name] = part | silent(peer, plan)
        except (ServerError, OSError) as error:
            tell(f"{peer.name}: {error}")
            continue
        tell(f"memory of {peer.name}")
    return found
