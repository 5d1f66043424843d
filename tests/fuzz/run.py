# SPDX-License-Identifier: MIT
"""`make fuzz`: each target for a while, under atheris where that is installed, else hypothesis.

What breaks a property is written into the target's corpus: mend the code, and commit both. What
atheris found that merely reaches more of the code is kept in build/fuzz, for the next run.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .target import Target, keep

ROOT = Path(__file__).parents[2]
REACHED = ROOT / "build" / "fuzz"
PROGRAM = (sys.executable, "-m", "tests.fuzz.guided")
BLIND = 20  # hypothesis tries one input in the time in which atheris tries so many
HANGS = 60  # seconds for one input
MEMORY = 2048  # MiB
ROUND = 1000  # inputs between two looks at the clock
NO_ATHERIS = (
    "atheris is not installed (it exists for CPython 3.11 to 3.13 on x86_64): hypothesis tries"
    " inputs without seeing what code they reach"
)


def has_atheris() -> bool:
    """Whether the inputs can be guided by the code that they reach."""
    return importlib.util.find_spec("atheris") is not None


def guided(target: Target, limits: Sequence[str], found: Path, reached: Path) -> tuple[bool, str]:
    """Fuzz `target` under atheris; return whether all is well, and what it said. `limits`: as
    libFuzzer's options. `found`: where cases go that break a property; `reached`: those that reach
    more code.
    """
    for folder in (found, reached):
        folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [
            *PROGRAM,
            target.name,
            *limits,
            f"-timeout={HANGS}",
            f"-rss_limit_mb={MEMORY}",
            f"-artifact_prefix={found}{os.sep}",
            "-print_final_stats=1",
            str(reached),  # the first is written to
            *([str(target.folder)] if target.cases() else []),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    said = done.stdout.decode("utf-8", "replace")
    return done.returncode == 0, said


def figures(said: str) -> str:
    """Return what libFuzzer said of its work, for people."""
    inputs = re.findall(r"stat::number_of_executed_units: *(\d+)", said)
    reached = re.findall(r" cov: (\d+)", said)
    return (
        f"{int(inputs[-1]) if inputs else 0:,} inputs, {reached[-1] if reached else '?'} branches"
    )


def blindly(target: Target, seconds: float) -> tuple[bool, str]:
    """Fuzz `target` under hypothesis; return whether all is well, and what it did."""
    from .blind import fuzz  # it takes a second

    logging.disable()
    end = time.monotonic() + seconds
    rounds = 0
    while time.monotonic() < end:
        broke = fuzz(target, ROUND, time.time_ns())
        rounds += 1
        if broke is not None:
            return False, f"written to {keep(target.folder, broke)}"
    return True, f"{rounds * ROUND:,} inputs"


def main(arguments: Sequence[str]) -> int:
    """Fuzz what the command line names; return its exit status: 1 where something was found."""
    from .targets import TARGETS

    parser = argparse.ArgumentParser(prog="python3 -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=300, help="for each target (300)")
    parser.add_argument("target", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    asked = parser.parse_args(arguments)
    if unknown := set(asked.target) - set(TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}; there are: {', '.join(TARGETS)}")
    is_guided = has_atheris()
    if not is_guided:
        print(NO_ATHERIS)
    broken = 0
    for name in asked.target or TARGETS:
        target = TARGETS[name]
        if is_guided:
            limits = [f"-max_total_time={asked.seconds}"]
            well, said = guided(target, limits, target.folder, REACHED / name)
            shown = figures(said) if well else said
        else:
            well, shown = blindly(target, asked.seconds)
        print(f"{name}: {'nothing found' if well else 'FOUND'}: {shown}", flush=True)
        broken += not well
    if broken:
        print("Mend what was found, and commit the new files in tests/fuzz/corpus with it.")
    return 1 if broken else 0
