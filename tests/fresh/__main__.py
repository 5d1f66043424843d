# SPDX-License-Identifier: MIT
"""`make fresh`: the commands of the README in a fresh root of each release, side by side.

An ordinary user with sudo runs them all; with --all the superuser as well. The packages that were
built stay in build/fresh, for the booted machines. --can only says whether it could be run here.
"""

from __future__ import annotations

import re
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from ..system.roots import RELEASES, RootError
from .packages import BUILT, SCRIPT, keep, lay_out, share
from .root import USER, root, what_is_missing

STEPS = ("run", "deb", "test")
PORT = threading.Lock()  # `make run` has a port, and the roots share this machine's network


class Done(NamedTuple):
    """What became of one command. `seconds`: that it took. `said`: pytest's count of tests."""

    release: str
    user: str
    step: str
    status: int
    seconds: float
    said: str

    def __str__(self) -> str:
        how = "" if self.status == 0 else f"  FAILED ({self.status})"
        who = f"{self.release:<9} {self.user:<5}"
        return f"{who} make {self.step:<5} {self.seconds:5.0f} s  {self.said}{how}"


def _try(release: str, users: Sequence[str]) -> list[Done]:
    """Run all commands in a root of `release`, each user in a root of its own."""
    results = []
    for user in users:
        with tempfile.TemporaryDirectory(prefix="fingerd-sd-fresh-") as name:
            shared = Path(name)
            tree = lay_out(shared / "tree")
            share(shared)
            with root(release, shared) as made:
                for step in STEPS:
                    log = BUILT / f"{release}-{user}-{step}.log"
                    log.unlink(missing_ok=True)
                    if step == "run":
                        PORT.acquire()
                    began = time.monotonic()
                    try:
                        status = made.run(user, f"{SCRIPT} {step}", log)
                    finally:
                        if step == "run":
                            PORT.release()
                    done = Done(release, user, step, status, time.monotonic() - began, _count(log))
                    print(done, flush=True)
                    results.append(done)
                if user == USER and all(done.status == 0 for done in results):
                    later = made.run(user, f"{SCRIPT} later", BUILT / f"{release}-later.log")
                    if later == 0:
                        keep(release, shared / "package", tree)
    return results


def _count(log: Path) -> str:
    """Return how many tests passed, failed and were skipped, as the last line of pytest says."""
    said = log.read_text(errors="replace")
    found = re.findall(r"^=+ (.* passed.*?) in [\d.]+s", said, re.MULTILINE)
    return found[-1] if found else ""


def main(arguments: Sequence[str]) -> int:
    """Return 0 where all commands did well, 1 where one did not, 2 where none could be run."""
    if lacking := what_is_missing():
        print(f"make check: cannot be run here: {lacking}", file=sys.stderr)
        return 2
    if "--can" in arguments:
        return 0
    users = (USER, "root") if "--all" in arguments else (USER,)
    BUILT.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor() as several:
        trials = [several.submit(_try, release, users) for release in RELEASES]
    try:
        results = [done for trial in trials for done in trial.result()]
    except RootError as error:
        print(f"make check: a root cannot be made: {error}", file=sys.stderr)
        return 2
    failed = [done for done in results if done.status != 0]
    for done in failed:
        log = BUILT / f"{done.release}-{done.user}-{done.step}.log"
        print(f"\n{done}\n{log.read_text(errors='replace')[-6000:]}", file=sys.stderr)
    print(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
