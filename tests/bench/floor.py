# SPDX-License-Identifier: MIT
"""What clients that wait for the moment of their answer cost the others: `[server] miss_time`.

Such a client asked for nobody, and its answer is held back. Here many of them are held for as long
as can be set, and others ask for what is kept; beside them a server of the same kind without.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

from . import peers, people
from .build import UnavailableError
from .load import Held, measure
from .peers import PYTHON, ROOT
from .plan import Plan
from .process import Server

CLIENTS = 256
LONGEST = (60, 30, 10, 5, 2, 1)  # seconds, tried in this order
SOURCES = f'{peers.MOSHEZ}\n\n[[source]]\ntype = "accounts"'
QUERIES = 4_000  # so that a few measurements fit into the shortest of LONGEST


def supported(folder: Path, *settings: str) -> Path | None:
    """Return a configuration with `settings` in [server]; None where this version refuses it."""
    conf = peers.config(folder, False, SOURCES, settings)
    argv = [PYTHON, "-m", "fingerd_sd", "check", "--config", str(conf)]
    done = subprocess.run(argv, cwd=ROOT, check=False, capture_output=True, timeout=60)
    return conf if done.returncode == 0 else None


def floor(folder: Path, plan: Plan, tell: Callable[[str], None]) -> dict[str, float]:
    """Return processor µs a query "without" and "beside" the waiting, their "ratio" within each
    turn, how many were "held", and for how many "seconds"; nothing without `miss_time`."""
    for seconds in LONGEST:
        conf = supported(folder / "floor", *plan.settings, f"miss_time = {seconds}")
        if conf is not None:
            break
    else:
        tell("waiting at the floor: this version has no miss_time of a second or more")
        return {}
    try:
        mounts, environment = people.accounts(plan.accounts)
    except UnavailableError as error:
        tell(f"waiting at the floor: {error}")
        return {}
    peer = replace(peers.ours("floor", "", conf), mounts=mounts, environment=environment)
    count = min(plan.first, QUERIES)
    costs: list[tuple[float, float]] = []
    with Server(peer) as alone, Server(peer) as server:
        for one in (alone, server):
            measure(one, CLIENTS, count)
        begun = time.monotonic()
        with Held(server, plan.floor, asking="x%") as held:
            while _busy(server) and time.monotonic() < begun + seconds / 2:
                pass
            while not costs or (
                len(costs) < plan.repeats and time.monotonic() < begun + seconds * 0.8
            ):
                without, beside = measure(alone, CLIENTS, count), measure(server, CLIENTS, count)
                costs.append((without.cpu_us, beside.cpu_us))
            took = time.monotonic() - begun
            if took >= seconds:
                tell(f"waiting at the floor: {took:.1f} s, longer than the answers were held back")
                return {}
    tell("waiting at the floor")
    return {
        "without": median(cost for cost, _ in costs),
        "beside": median(cost for _, cost in costs),
        "ratio": median(beside / without for without, beside in costs),
        "held": float(held.held),
        "seconds": float(seconds),
    }


def _busy(server: Server) -> bool:
    """Whether it still works: on looking up those who wait."""
    before = server.cpu_us()
    time.sleep(0.05)
    return server.cpu_us() - before > 5_000
