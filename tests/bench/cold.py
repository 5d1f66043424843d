# SPDX-License-Identifier: MIT
"""Cold start: from connect() to the whole answer when the client's coming starts the process.

The files are in the page cache. `python3 -c …` is measured the same way: it ends, which closes the
listening socket and so resets its client; that is its time, its end included. Where a server has a
journal or accounts of its own, in a mount namespace, which takes time too, the reference it is
compared with has the same.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median

from . import peers as known
from .build import SOURCES
from .load import raw
from .peers import PYTHON, ROOT, Peer
from .plan import Plan
from .process import Server, ask

PASS, BARE = "python3 -c pass", 'python3 -c "import asyncio, tomllib"'
REFERENCES = (
    Peer(PASS, "", (PYTHON, "-c", "pass")),
    Peer(BARE, "", (PYTHON, "-c", "import asyncio, tomllib")),
)
PARTS = ("activation", "exec and interpreter", "imports", "configuration, set-up", "first answer")
COMMAND = 4  # how many of our arguments follow the interpreter and its options
SO_TIMESTAMPNS = 35


def reference(peer: str) -> str:
    """Return the name of what the server named `peer` is compared with, if it has mounts."""
    return f"{BARE}, with the mounts of {peer}"


def _mounted(peer: Peer) -> list[Peer]:
    """Return the reference that has the mounts of `peer`, if it has any."""
    if not (peer.journal or peer.mounts):
        return []
    return [replace(peer, name=reference(peer.name), argv=REFERENCES[1].argv)]


class Notified:
    """What systemd would hear: a socket for NOTIFY_SOCKET, and when READY=1 came."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="fingerd-bench-")
        self.path = str(Path(self._folder.name, "notify"))
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket.bind(self.path)
        self._socket.setblocking(False)

    def ready(self) -> float | None:
        """Return when READY=1 came, in ns of the clock of day, and forget what else came."""
        when = None
        try:
            while True:
                said, ancillary, _, _ = self._socket.recvmsg(4096, 256)
                if b"READY=1" in said and when is None and ancillary:
                    seconds, ns = struct.unpack("qq", ancillary[0][2])
                    when = seconds * 1e9 + ns
        except BlockingIOError:
            return when

    def close(self) -> None:
        """Close it."""
        self._socket.close()
        self._folder.cleanup()


def _start(peer: Peer, notified: Notified, clients: int) -> dict[str, float]:
    """Start `peer` by `clients` at once; return what the load generator found."""
    notified.ready()  # a full socket would block who speaks to it
    peer = replace(peer, environment=peer.environment | {"NOTIFY_SOCKET": notified.path})
    with Server(peer, wait=True) as server:
        found = raw(server, clients=clients, count=clients)
    # A refusal is quick: it must not pass for a start. The references never answer. What some
    # peers answer is not known beforehand, so that the generator takes it for wrong.
    answered = found["ok"] + (found["wrong"] if peer.answer is None else 0)
    if not answered and peer.argv not in {one.argv for one in REFERENCES}:
        raise RuntimeError(f"{peer.name} answered nobody at a cold start: {found}")
    return found


def _parts(notified: Notified, ours: Peer) -> list[float]:
    """Return the milliseconds of each of PARTS in one start."""
    probe = str(SOURCES / "probe.py")
    argv = (*ours.argv[:-COMMAND], probe, *ours.argv[-COMMAND:])
    peer = replace(ours, argv=argv, environment=ours.environment | {"NOTIFY_SOCKET": notified.path})
    notified.ready()
    with Server(peer, wait=True) as server:
        found = raw(server, clients=1, count=1)
        assert server.process.stdout is not None
        marks = [float(server.process.stdout.readline().split()[-1]) for _ in range(3)]
        of_day = time.time_ns() - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        ready = notified.ready()
    start = found["start_ns"]
    times = [start, *marks, *([ready - of_day] if ready else []), start + found["max_us"] * 1e3]
    return [(after - before) / 1e6 for before, after in pairwise(times)]


def imports(ours: Peer, most: int = 15) -> list[tuple[str, float]]:
    """Return the modules that fingerd-sd's start spends most milliseconds in, by -X importtime."""
    argv = (*ours.argv[:-COMMAND], "-X", "importtime", *ours.argv[-COMMAND:])
    with Server(replace(ours, argv=argv, defer=0)) as server:
        ask(server.port, ours.user.encode())
        text = server.errors.read_text()
    found = []
    for line in text.splitlines():
        fields = line.removeprefix("import time:").split("|")
        if line.startswith("import time:") and fields[0].strip().isdigit():
            found.append((fields[2].strip(), int(fields[0]) / 1000))
    total = ("all imports", sum(ms for _, ms in found))
    return [total, *sorted(found, key=lambda row: -row[1])[:most]]


def cold(peers: Sequence[Peer], plan: Plan, tell: Callable[[str], None]) -> dict[str, object]:
    """Return "ms" of each start and "bursts", until all had their answer, by peer; "parts" and
    "imports" of ours, and "idle", KiB once it has come to rest after its first answer."""
    subprocess.run([PYTHON, "-m", "compileall", "-qq", ROOT / "fingerd_sd"], check=False)
    ours = next(peer for peer in peers if peer.name == known.OURS)
    skipped = (known.LIMIT_HELPED, known.OURS_PLAIN, known.OURS_PROXIED, known.BSD_SAY)
    servers = [peer for peer in peers if peer.name not in skipped]
    compared = [one for peer in servers if _is_ours(peer) for one in (*_mounted(peer), peer)]
    starting = [*REFERENCES, *compared, *(peer for peer in servers if not _is_ours(peer))]
    singles: dict[str, list[float]] = {peer.name: [] for peer in starting}
    bursts: dict[str, list[float]] = {peer.name: [] for peer in servers}
    bad = dict.fromkeys(bursts, 0.0)
    notified = Notified()
    try:
        for _ in range(plan.cold):
            for peer in starting:
                singles[peer.name].append(_start(peer, notified, 1)["max_us"] / 1000)
        tell("cold starts")
        for _ in range(plan.bursts):
            for peer in servers:
                found = _start(peer, notified, plan.burst)
                bursts[peer.name].append(found["wall_us"] / 1000)
                bad[peer.name] += found["lost"] + found["cut"] + found["refused"]
        tell("bursts at a cold start")
        parts = [_parts(notified, ours) for _ in range(plan.cold)]
    finally:
        notified.close()
    # READY=1 is told after the first answer, so that it may or may not have come by then.
    least = min(map(len, parts))
    parts = [row for row in parts if len(row) == least]
    names = PARTS if len(parts[0]) == len(PARTS) else (*PARTS[:3], "set-up and first answer")
    return {
        "ms": singles,
        "bursts": bursts,
        "burst_bad": bad,
        "parts": {name: median(row[i] for row in parts) for i, name in enumerate(names)},
        "imports": imports(ours),
        "idle": {peer.name: _idle(peer, plan) for peer in servers if _is_ours(peer)},
    }


def _is_ours(peer: Peer) -> bool:
    return peer.name.startswith("fingerd-sd")


def _idle(peer: Peer, plan: Plan) -> float:
    with Server(peer) as server:
        time.sleep(plan.quiet)
        return server.rss_kib()
