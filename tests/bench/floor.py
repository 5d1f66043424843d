# SPDX-License-Identifier: MIT
"""What clients that wait for the moment of their answer cost the others: `[server] miss_time`.

Such a client asked for nobody, and its answer is held back. Here many of them are held for as long
as can be set, and others ask for what is kept; beside them a server of the same kind without.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

from . import peers, people
from .build import UnavailableError
from .load import Held, measure
from .peers import Peer
from .plan import Plan
from .process import Server

CLIENTS = 256
SECONDS = (
    60  # that they are held: more than the configuration allows, so that it is measured at all
)
SOURCES = f'{peers.MOSHEZ}\n\n[[source]]\ntype = "accounts"'
QUERIES = 4_000
AFTER = ("serve", "--config", "FILE")  # what follows the launcher
ALLOW = f"""
from fingerd_sd.config import server
server.MAX_MISS_TIME = {SECONDS}
"""


def _held(folder: Path, plan: Plan) -> Peer:
    """Return fingerd-sd with a `miss_time` of SECONDS, which the configuration refuses."""
    settings = (*plan.settings, f"miss_time = {SECONDS}", f"answer_timeout = {2 * SECONDS}")
    peer = peers.ours("floor", "", peers.config(folder / "floor", False, SOURCES, settings))
    python, *options, launcher = peer.argv[: -len(AFTER)]
    head, ours, rest = Path(launcher).read_text().partition("from fingerd_sd")
    patched = folder / "floor.py"
    patched.write_text(head + ALLOW + ours + rest)
    return replace(peer, argv=(python, *options, str(patched), *peer.argv[-len(AFTER) :]))


def floor(folder: Path, plan: Plan, tell: Callable[[str], None]) -> dict[str, float]:
    """Return processor µs a query "without" and "beside" the waiting, their "ratio" within each
    turn, how many were "held", and for how many "seconds"; nothing where that cannot be."""
    try:
        mounts, environment = people.accounts(plan.accounts)
    except UnavailableError as error:
        tell(f"waiting at the floor: {error}")
        return {}
    peer = replace(_held(folder, plan), mounts=mounts, environment=environment)
    count = min(plan.first, QUERIES)
    costs: list[tuple[float, float]] = []
    with Server(peer) as alone, Server(peer) as server:
        for one in (alone, server):
            measure(one, CLIENTS, count)
        begun = time.monotonic()
        with Held(server, plan.floor, asking="x%") as held:
            while _busy(server) and time.monotonic() < begun + SECONDS / 2:
                pass
            while not costs or (
                len(costs) < plan.repeats and time.monotonic() < begun + SECONDS * 0.8
            ):
                without, beside = measure(alone, CLIENTS, count), measure(server, CLIENTS, count)
                costs.append((without.cpu_us, beside.cpu_us))
            took = time.monotonic() - begun
            if took >= SECONDS:
                tell(f"waiting at the floor: {took:.1f} s, longer than the answers were held back")
                return {}
    tell("waiting at the floor")
    return {
        "without": median(cost for cost, _ in costs),
        "beside": median(cost for _, cost in costs),
        "ratio": median(beside / without for without, beside in costs),
        "held": float(held.held),
        "seconds": float(SECONDS),
    }


def _busy(server: Server) -> bool:
    """Whether it still works: on looking up those who wait."""
    before = server.cpu_us()
    time.sleep(0.05)
    return server.cpu_us() - before > 5_000
