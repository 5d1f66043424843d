# SPDX-License-Identifier: MIT
"""Rude clients of every kind, beside ordinary ones, whose time should not suffer by them.

A quiet run and one beside the rude follow each other, several times. Each gives the 99th percentile
of the same number of queries; what is told is the median of the ratios.
The service and the ordinary clients run before all else on this machine, the rude after all else:
so that what is compared is the service's work, not who gets a processor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median, quantiles

import pytest

from ..finger import SOCKET, Finger
from ..waiting import wait_for
from .figures import LEAKED_DESCRIPTORS, LEAKED_MEMORY, figure
from .load import Load
from .programs import Asking, Rudeness
from .rude import KINDS

CLIENTS = 4
QUERIES = 1500  # in one run
ROUNDS = 3  # of a quiet run and another one
RATIO = 3.0
MEMORY = 128  # MiB: half of MemoryMax=
GROWTH = 4  # MiB
GONE = 120.0  # seconds that the connections of the rude may take to go

HAPPY = "Happy and well"
LARGE = "0123456789abcdef" * (1 << 15)  # 512 KiB, which loopback's own buffers would hold
AT_ONCE = "[Socket]\nDeferAcceptSec=0\nSendBuffer=128K\n"
AHEAD = ("chrt", "--rr", "1")
BEHIND = ("nice", "-n", "19")

# Room for all of them, and deadlines so short that they are over within the runs.
CONFIGURATION = f"""
[server]
query_timeout = 5
answer_timeout = 5
max_connections = 12000
max_per_client = 12000
log_queries = false

[[audience]]
name = "everyone"
rate = 0

[[source]]
type = "static"
users = {{ moshez = "{HAPPY}", large = "{LARGE}" }}
"""
QUESTIONS = [("moshez", f"{HAPPY}\r\n"), ("nobody", "No such user\r\n")]

WHAT = {
    "silent": "5,000 clients that send nothing",
    "slow": "1,000 that send one octet a second",
    "deaf": "500 that never read a large answer",
    "talkers": "16 that send 1 MiB again and again",
    "resetters": "64 that reset in every state",
    "half-open": "300 that send FIN early and stay",
    "vanishing": "300 whose network vanishes",
    "scans": "port scans, by SYN and by connections",
}
# Kinds that stay, and how many connections of theirs the service has open at some time: most of
# those that have to wait for its deadlines. The other kinds come again and again.
HELD = {"silent": 4000, "slow": 800, "deaf": 400, "vanishing": 250}


@dataclass
class Process:
    """The process of the service `finger`, from outside; `pid` as the machine counts."""

    finger: Finger
    pid: int

    def resident(self) -> int:
        """Return the KiB of memory that it has."""
        status = self.finger.machine.run("grep", "VmRSS:", f"/proc/{self.pid}/status").stdout
        return int(status.split()[1])

    def descriptors(self) -> int:
        """Return how many descriptors it has open."""
        return len(self.finger.machine.run("ls", f"/proc/{self.pid}/fd").stdout.split())

    def p99(self) -> float:
        """Ask; return the 99th percentile, in seconds, of how long that took. Each answer is
        right.
        """
        load = Load(QUESTIONS, CLIENTS, (0.003, 0.007), least=QUERIES)
        with Asking(self.finger.machine, load, AHEAD) as asking:
            found = asking.found()
        assert found.failed == []
        return quantiles(found.took, n=100)[-1]

    def beside(self, kinds: list[str], baseline: int) -> tuple[float, int, int]:
        """Ask beside rude clients of all `kinds`; return the 99th percentile, and the KiB and the
        descriptors that it had at that time. Then wait until it has as few as `baseline` again.
        """
        with Rudeness(self.finger.machine, kinds, BEHIND) as rude:
            seconds = self.p99()
            memory, held = self.resident(), self.descriptors()
            done = rude.end()
        assert all(done[kind] for kind in kinds if kind not in HELD), done
        wait_for(
            lambda: self.descriptors() <= baseline + LEAKED_DESCRIPTORS,
            "the connections of the rude to go",
            GONE,
            note=self.descriptors,
        )
        return seconds, memory, held


@pytest.fixture
def process(finger: Finger) -> Process:
    """The service, ready, with room for all; the kernel hands it each connection at once."""
    finger.drop_in(AT_ONCE, SOCKET)
    return ready(finger)


def ready(finger: Finger) -> Process:
    """Start the service with room for all, ahead of all else on this machine."""
    pid = finger.serve(CONFIGURATION)
    finger.machine.run("chrt", "--rr", "--all-tasks", "--pid", "1", str(pid))
    return Process(finger, pid)


def beside_others(
    process: Process, kinds: list[str], what: str, tell: Callable[[str, str], None], held: int
) -> None:
    """Measure, and tell; memory and descriptors are compared with those after the first time.

    `held`: how many connections of the rude the service should have open at some time.
    """
    baseline = process.descriptors()
    process.beside(kinds, baseline)
    before = process.resident()
    ratios = []
    memory, most_held = [before], 0
    for _ in range(ROUNDS):
        quiet = process.p99()
        rude, resident, descriptors = process.beside(kinds, baseline)
        ratios.append(rude / quiet)
        memory.append(resident)
        most_held = max(most_held, descriptors - baseline)
        print(f"{quiet * 1e3:.3f} ms, {rude * 1e3:.3f} ms, {resident} KiB, {descriptors} open")
    grown = process.resident() - before
    assert grown <= LEAKED_MEMORY, f"{grown} KiB are not given back"
    assert process.finger.pid() == process.pid
    figures = [
        f"others' 99th percentile × {figure(median(ratios), RATIO, places=2)}",
        f"memory at most {figure(max(memory) / 1024, MEMORY, 'MiB')}",
        f"then {figure(grown / 1024, GROWTH, 'MiB', 1)} more than before",
    ]
    if held:
        figures.append(f"{figure(most_held, held, least=True)} of theirs open at once")
    tell(what, "; ".join(figures))


@pytest.mark.parametrize("kind", KINDS)
def test_one_kind(process: Process, kind: str, tell: Callable[[str, str], None]) -> None:
    beside_others(process, [kind], WHAT[kind], tell, HELD.get(kind, 0))


def test_all_kinds_at_once(process: Process, tell: Callable[[str, str], None]) -> None:
    beside_others(process, list(KINDS), "all of these at once", tell, HELD["silent"])


def test_the_kernel_keeps_the_silent(finger: Finger, tell: Callable[[str, str], None]) -> None:
    what = f"{WHAT['silent']}, kept by the kernel (DeferAcceptSec=)"
    beside_others(ready(finger), ["silent"], what, tell, 0)
