# SPDX-License-Identifier: MIT
"""A guard that no clock can blur: the system calls of a query on the fast path, counted by strace.

Counted as the difference between a run with many queries and one with few, each query after the
one before, so that hardly anything is shared between them: the dearest case of the fast path.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from ..helpers import needs
from ..helpers.published import Folder
from . import build
from .peers import MOSHEZ, Peer, config, ours
from .process import Server, ask

FEW, MANY = 20, 420
SLACK = 0.1  # calls a query that the loop makes now and then, such as a wake-up for a deadline
# One query: a wake-up, the accept, its socket's options, the line, the answer, FIN, close. Only one
# wake-up in 256 makes an accept that finds nothing more (serving/waiting/accept.py, PROBE).
QUIET = {
    "epoll_wait": 1,
    "accept4": 1,
    "getsockname": 1,
    "recvfrom": 1,
    "sendto": 1,
    "shutdown": 1,
    "close": 1,
}
LOGGING = QUIET | {"sendto": 2}  # and the datagram to the journal


def _count(peer: Peer, queries: int, folder: Path) -> Counter[str]:
    """Return the system calls of a whole run of `peer` in which `queries` are asked."""
    summary = folder / f"summary-{queries}"
    os.mkfifo(summary)
    # -D: the tracer is a grandchild, so that the server keeps the process id of its activation.
    traced = replace(peer, argv=("strace", "-D", "-f", "-c", "-o", str(summary), *peer.argv))
    # Opened before the tracer does, so that nobody waits where the tracer does not start.
    reading = os.open(summary, os.O_RDONLY | os.O_NONBLOCK)
    with open(reading, encoding="utf-8") as reader:
        with Server(traced) as server:
            for _ in range(queries):
                assert ask(server.port, b"moshez") == peer.answer
        os.set_blocking(reading, True)  # it ends when the tracer has ended
        rows = [line.split() for line in reader]
    # % time, seconds, usecs/call, calls, perhaps errors, the name
    return Counter({row[-1]: int(row[3]) for row in rows if len(row) >= 5 and row[3].isdigit()})


# Beside what users publish, whose changes are looked for at each query.
PUBLISHED = f'{MOSHEZ}\n\n[[source]]\ntype = "published"'


@pytest.mark.parametrize(
    ("log", "bound"), [(False, QUIET), (True, LOGGING)], ids=["no query log", "query log"]
)
def test_a_query_on_the_fast_path_makes_no_more_system_calls_than_it_needs(
    log: bool, bound: dict[str, int], tmp_path: Path
) -> None:
    needs.programs("cc")
    needs.right(needs.tracing)
    if log:
        needs.right(needs.mounts_as_anybody)
    build.compiled("activate")
    _hold(ours("strace", "", config(tmp_path, log), journal=log), bound, tmp_path)


def test_a_look_for_what_was_published_is_no_system_call(tmp_path: Path) -> None:
    needs.programs("cc")
    needs.right(needs.tracing)
    needs.right(needs.mounts_as_anybody)
    build.compiled("activate")
    (tmp_path / "state").mkdir()
    Folder(tmp_path / "state")
    mounts = (
        "mount -t tmpfs tmpfs /var/lib; mkdir /var/lib/fingerd-sd"
        f"; mount --bind '{tmp_path}/state' /var/lib/fingerd-sd"
    )
    peer = ours("strace", "", config(tmp_path, False, PUBLISHED))
    _hold(replace(peer, mounts=mounts), QUIET, tmp_path)


def _hold(peer: Peer, bound: dict[str, int], tmp_path: Path) -> None:
    """Hold the system calls of a query to `peer` against `bound`."""
    few, many = _count(peer, FEW, tmp_path), _count(peer, MANY, tmp_path)
    many.subtract(few)
    del many["total"]
    each = {name: calls / (MANY - FEW) for name, calls in many.items() if abs(calls) > 2}
    print(each)
    beyond = {name: calls for name, calls in each.items() if calls > bound.get(name, 0) + SLACK}
    assert not beyond, f"calls a query: {each}"
