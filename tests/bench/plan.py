# SPDX-License-Identifier: MIT
"""How much is measured: every count and time of a run has its bound here."""

from __future__ import annotations

from dataclasses import dataclass

from .peers import Peer

FORKS = 50  # a server that starts a process for each query is asked so many times less


@dataclass(frozen=True)
class Plan:
    """A whole run. Counts are queries, but where another unit is named."""

    rounds: int = 5
    clients: tuple[int, ...] = (1, 16, 256, 1000)
    queries: int = 8_000  # at 256 clients and more; half of it at fewer
    junk: int = 5_000
    growth: int = 100_000
    silent: int = 5_000  # connections
    quiet: float = 1.0  # seconds for a server to come to rest
    defer_seconds: float = 9.0  # until the kernel hands over silent connections (5 s become 7)
    cold: int = 15  # starts
    bursts: int = 5  # starts with `burst` clients at once
    burst: int = 256  # clients
    users: tuple[int, ...] = (10, 10_000, 1_000_000)
    open: tuple[int, ...] = (1, 100, 10_000)  # connections
    scale: int = 5_000
    repeats: int = 5  # of each figure outside the rounds
    first: int = 8_000  # each for another name, where there are so many
    known: int = 1_000_000  # users of a directory in *first asking*
    accounts: int = 10_000
    floor: int = 5_000  # connections whose answers wait for their moment
    settings: tuple[str, ...] = ()  # further lines of [server]

    def count(self, peer: Peer, clients: int) -> int:
        """Return how many queries `peer` gets from `clients`."""
        count = self.queries if clients >= 256 else self.queries // 2
        return max(count // FORKS if peer.forks else count, clients)


QUICK = Plan(
    rounds=1,
    clients=(1, 16),
    queries=60,
    junk=30,
    growth=100,
    silent=20,
    quiet=0.05,
    defer_seconds=0.0,
    cold=1,
    bursts=1,
    burst=10,
    users=(10, 100),
    open=(1, 10),
    scale=30,
    repeats=1,
    first=30,
    known=200,
    accounts=200,
    floor=20,
)
