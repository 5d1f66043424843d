# SPDX-License-Identifier: MIT
"""Where the time of a query goes, by perf: shares of the kernel and of Python, and of each call."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from .load import measure
from .peers import Peer
from .plan import Plan
from .process import Server

CLIENTS = 256
START = 1.0  # seconds that perf may take to attach
END = 20.0  # seconds that perf may take to write what it saw
SECONDS = 120  # for a report of it
SHARE = re.compile(r"^\s*([\d.]+)%\s+(?:([\d.]+)%\s+)?(?:\[.\]\s+)?(\S+)\s*$")
CALL = "__x64_sys_"  # how the kernel names a system call's own function here

Shares = dict[str, dict[str, float]]


def _report(data: Path, *options: str) -> dict[str, float]:
    """Return the percentages of a report by perf."""
    argv = ["perf", "report", "-i", str(data), "--stdio", "-g", "none", *options]
    done = subprocess.run(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=SECONDS,
        text=True,
        check=True,
    )
    rows = (SHARE.match(line) for line in done.stdout.splitlines())
    return {row[3]: float(row[1]) for row in rows if row}


def profile(peers: list[Peer], plan: Plan, tell: Callable[[str], None]) -> dict[str, Shares]:
    """Return for each of `peers` the shares, in percent, of "where" and of each "call"; nothing
    where perf is missing or may not look."""
    if shutil.which("perf") is None:
        tell("no profile: perf is not installed (linux-perf)")
        return {}
    found: dict[str, Shares] = {}
    for peer in peers:
        with tempfile.TemporaryDirectory() as folder, Server(peer) as server:
            data = Path(folder, "perf.data")
            perf = subprocess.Popen(
                ["perf", "record", "-q", "-g", "-F", "4000", "-o", data, "-p", str(server.pid)],
                stderr=subprocess.DEVNULL,
            )
            time.sleep(min(START, plan.quiet))
            measure(server, CLIENTS, plan.count(peer, CLIENTS))
            perf.send_signal(signal.SIGINT)
            try:
                perf.wait(END)
            except subprocess.TimeoutExpired:  # it was told to stop before it was ready to listen
                perf.kill()
                perf.wait()
                tell("no profile: perf did not stop")
                return {}
            try:
                where = _report(data, "--no-children", "--sort", "dso")
                calls = _report(data, "--children", "--sort", "sym")
            except (subprocess.SubprocessError, OSError) as error:
                tell(f"no profile: {error}")
                return {}
        named = {name[len(CALL) :]: share for name, share in calls.items() if name.startswith(CALL)}
        found[peer.name] = {"where": where, "call": named}
    tell("profile")
    return found
