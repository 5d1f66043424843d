# SPDX-License-Identifier: MIT
"""`make bench`: measure fingerd-sd, the limit and its peers, and write the report.

The parts, in the order of a run: build.py and peers.py make the servers, process.py starts one
under socket activation, load.py puts load.c on it; rounds.py, first.py, floor.py, memory.py,
cold.py and scale.py measure; bounds.py holds the figures against what must be reached; report.py,
first_report.py and picture.py show them. Everything is bounded in count and time (plan.py), and
only loopback is ever spoken to.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from . import build, first_report, peers
from .bounds import bounds
from .cold import cold
from .first import OURS_ACCOUNTS, OURS_FIRST, accounts, first
from .first import gather as gather_first
from .floor import floor
from .machine import machine
from .memory import memory
from .peers import Peer
from .plan import QUICK, Plan
from .profile import profile
from .report import report
from .rounds import Round, junk, rounds, start
from .scale import connections, directories, processes

DATA = "results.json"
PARTS = ("rounds", "first", "memory", "cold", "scale", "profile")


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench", description="Benchmark fingerd-sd and its peers."
    )
    parser.add_argument("--quick", action="store_true", help="a few queries, to try the benchmark")
    parser.add_argument(
        "--no-install", action="store_true", help="only peers that are there already"
    )
    parser.add_argument("--rounds", type=int, help="rounds (default: 5)")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"only these: {', '.join(PARTS)}")
    parser.add_argument(
        "--server",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a further line of fingerd-sd's [server]; may be repeated",
    )
    parser.add_argument("--peer", action="append", help="only this server; may be repeated")
    parser.add_argument("--out", type=Path, default=peers.ROOT / "build/bench", metavar="FOLDER")
    parser.add_argument("--report", action="store_true", help="only write the report anew")
    arguments = parser.parse_args(argv)
    for part in arguments.parts:
        if part not in PARTS:
            parser.error(f"{part}: not one of {', '.join(PARTS)}")
    return arguments


def measure(
    plan: Plan, arguments: argparse.Namespace, found: list[Peer], missing: dict[str, str]
) -> dict[str, Any]:
    """Return all that was measured, saved after each part; `missing` gets who did not start."""
    folder: Path = arguments.out
    only = arguments.parts or PARTS
    begun = time.monotonic()

    def tell(what: str) -> None:
        print(f"{time.monotonic() - begun:6.0f} s  {what}", flush=True)

    results: dict[str, Any] = {"plan": asdict(plan), "machine": machine(), "missing": missing}
    results["peers"] = {peer.name: peer.about for peer in found}
    quiet = peers.config(folder, log=False, settings=plan.settings)

    def save() -> None:
        results["machine"]["took"] = f"{time.monotonic() - begun:.0f} s"
        (folder / DATA).write_text(json.dumps(results, indent=1))

    if "rounds" in only:
        with ExitStack() as stack:
            servers = start(stack, found, missing)
            tell(f"{len(servers)} servers")
            results["rounds"] = rounds(servers, plan, tell)
            save()
            results["junk"] = junk(servers, plan)
        save()
        found = [peer for peer in found if peer.name not in missing]  # the others did not start
    if "first" in only:
        results["first"] = _first(plan, arguments, found, missing, results["peers"], tell)
        save()
        results["floor"] = floor(folder, plan, tell)
        save()
    if "memory" in only:
        results["memory"] = memory(found, plan, tell)
        save()
    if "cold" in only:
        some, why = peers.had({OURS_ACCOUNTS: lambda: accounts(folder, plan)})
        missing |= why
        results["cold"] = cold([*found, *some], plan, tell)
        save()
    if "scale" in only:
        results["scale"] = {
            "users": directories(folder, plan, tell),
            "open": connections(quiet, plan, tell),
            "processes": processes(quiet, plan, tell),
        }
        save()
    if "profile" in only:
        ours = [peer for peer in found if peer.name in (peers.OURS, peers.OURS_LOGGING)]
        results["profile"] = profile(ours, plan, tell)
        save()
    return results


def _first(
    plan: Plan,
    arguments: argparse.Namespace,
    found: list[Peer],
    missing: dict[str, str],
    about: dict[str, str],
    tell: Callable[[str], None],
) -> list[Round]:
    every, why = gather_first(found, arguments.out, not arguments.no_install, plan)
    missing |= why
    for peer, _ in every:
        about.setdefault(peer.name, peer.about)
    if arguments.peer:
        chosen = [one for one in every if one[0].name in (*arguments.peer, *OURS_FIRST)]
        every = chosen
    return first(every, plan, missing, tell)


def write(results: dict[str, Any], folder: Path) -> None:
    """Write report.md and, where matplotlib is to be had, picture.png."""
    data, picture = folder / DATA, folder / "picture.png"
    (folder / "report.md").write_text(report(results))
    script = Path(__file__).with_name("picture.py")
    try:
        subprocess.run([build.peers_python(False), script, data, picture], check=True)
    except (build.UnavailableError, subprocess.CalledProcessError, OSError) as error:
        print(f"no picture: {error}")


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; 0 where all bounds are met, 1 where one is not, 2 without a C compiler."""
    arguments = _arguments(argv)
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(1)
    )  # through every `with`, ending the servers
    folder: Path = arguments.out
    folder.mkdir(parents=True, exist_ok=True)
    if arguments.report:
        results = json.loads((folder / DATA).read_text())
    else:
        try:
            build.compiled("load"), build.compiled("activate"), build.compiled("drain")
        except build.UnavailableError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 2
        settings = tuple(line.replace("=", " = ", 1) for line in arguments.server)
        plan = replace(QUICK if arguments.quick else Plan(), settings=settings)
        if arguments.rounds:
            plan = replace(plan, rounds=arguments.rounds)
        found, missing = peers.gather(folder, not arguments.no_install, settings)
        if arguments.peer:
            found = [peer for peer in found if peer.name in arguments.peer]
        results = measure(plan, arguments, found, missing)
    write(results, folder)
    held = [bound for bound in bounds(results) if bound.binding]
    if results.get("first"):
        print("\n".join(first_report.first(results)))
    print("\n".join(bound.row() for bound in bounds(results) if bound.met is not None))
    print(f"report: {folder / 'report.md'}")
    return int(any(bound.met is False for bound in held))
