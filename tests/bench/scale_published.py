# SPDX-License-Identifier: MIT
"""What it costs to show what users have published, as there are more of them.

Prints a Markdown table. It starts the real command as a process for each row, beside accounts whose
homes are not there, so that a look-up is one of the store and two of NSS.

    python3 -m tests.bench.scale_published [USERS ...]
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from fingerd_sd.sources.published.source import LIFETIME

from ..helpers.published import NOON, Folder
from . import peers, people
from .load import measure
from .people import FIRST_UID
from .process import Server, ask

USERS = (10, 10_000, 100_000)
CLIENTS = 64
LOOK_UPS = 2000  # of users who were not asked for before
PLAN = "Working on the engine.\n" + "More of what is to be done, line by line.\n" * 12
SOURCES = """type = "published"
max_uid = 200000

[[source]]
type = "accounts"
max_uid = 200000

[[audience]]
list = "plans"
rate = 0"""
TITLES = (
    *("users", "store, MiB", "start, s", "memory, MiB", "new look-up, ms", "processor, µs"),
    *("list of plans, ms", "after a publish, ms"),
)


def _timed(port: int, line: bytes) -> tuple[float, bytes]:
    """Return the milliseconds that the answer to `line` takes, and the answer."""
    begun = time.monotonic()
    said = ask(port, line)
    return (time.monotonic() - begun) * 1e3, said


def row(folder: Path, users: int) -> list[str]:
    """Return what is measured with `users` users who have published."""
    stored = Folder(folder)
    stored.fill(
        (f"b{number:07d}", {"uid": FIRST_UID + number, "at": NOON - number, "plan": PLAN})
        for number in range(users)
    )
    size = sum(file.stat().st_size for file in folder.iterdir())
    mounts, environment = people.accounts(users, at_home=False)
    mounts += (
        "; mount -t tmpfs tmpfs /var/lib; mkdir /var/lib/fingerd-sd"
        f"; mount --bind '{folder}' /var/lib/fingerd-sd"
    )
    with TemporaryDirectory() as name:
        conf = peers.config(Path(name), False, SOURCES)
        peer = replace(peers.ours("published", "", conf), user="b0000000", answer=None)
        begun = time.monotonic()
        with Server(replace(peer, mounts=mounts, environment=environment)) as server:
            start = time.monotonic() - begun
            half = users // 2
            step = max(1, half // LOOK_UPS)
            look_ups = []
            for number in range(1, half, step):
                user = f"b{number:07d}".encode()
                taken, said = _timed(server.port, user)
                assert b"Working on the engine." in said, said
                look_ups.append(taken)
            time.sleep(LIFETIME + 0.1)  # so that none of them is kept
            sample = measure(server, CLIENTS, min(5000, half), names=users, user="b%", first=1)
            assert sample.bad == 0, sample
            listed, said = _timed(server.port, b"")
            assert len(said.splitlines()) == min(users, 100) + 1 + (users > 100), said
            stored.publish("b0000001", uid=FIRST_UID + 1, plan="Another plan.")
            after, said = _timed(server.port, b"b0000001")
            assert b"Another plan." in said, said
            memory = server.rss_kib() / 1024
    return [
        f"{users:,}",
        f"{size / (1 << 20):.1f}",
        f"{start:.2f}",
        f"{memory:.0f}",
        f"{median(look_ups):.2f}",
        f"{sample.cpu_us:.0f}",
        f"{listed:.0f}",
        f"{after:.1f}",
    ]


def main() -> None:
    """Measure for each number of users in the arguments, or in USERS."""
    print(f"| {' | '.join(TITLES)} |")
    print(f"|{'--:|' * len(TITLES)}")
    for users in [int(word) for word in sys.argv[1:]] or USERS:
        with TemporaryDirectory() as folder:
            print(f"| {' | '.join(row(Path(folder), users))} |", flush=True)


if __name__ == "__main__":
    main()
