# SPDX-License-Identifier: MIT
"""What the log is told of limited queries: for each client once a minute, with a count.

Sans-I/O: the time comes in as an argument. Every limited query is in the count of one notice, and
however many clients are limited, MAX_SINGLE + 1 notices a minute are all there are.
"""

from __future__ import annotations

from typing import NamedTuple

from fingerd_sd.policy.rules import Client

EVERY = 60.0  # seconds between two notices of one client
MAX_SINGLE = 100  # clients that have notices of their own; all the others have one together
OTHERS = ("others", "")  # what stands for client and audience of those


class Notice(NamedTuple):
    """How many `queries` of `client`, as the log may call it, were limited. `first`: it had none of
    late.
    """

    client: str
    audience: str
    queries: int
    first: bool

    def __str__(self) -> str:
        more = "" if self.first else " more"
        return f"Too many queries from {self.client}: {self.queries:,}{more} refused"


class _Tally:
    def __init__(self, due: float) -> None:
        self.due = due  # monotonic seconds
        self.count = 0


class Notices:
    """Counts limited queries. The first of a client is told at once; those that follow, a minute
    later and every minute while there are any.
    """

    def __init__(self) -> None:
        self._tallies: dict[tuple[str, str], _Tally] = {}  # in the order in which they are due

    @property
    def due_at(self) -> float | None:
        """When `due` is to be asked next, in monotonic seconds; None: not before `count`."""
        return next((tally.due for tally in self._tallies.values()), None)

    def count(self, client: Client, now: float) -> Notice | None:
        """Count a limited query of `client` at `now`; return what is to be told at once."""
        key = (_name(client), client.audience.name)
        if key not in self._tallies and len(self._tallies) >= MAX_SINGLE:
            key = OTHERS
        tally = self._tallies.get(key)
        if tally is not None:
            tally.count += 1
            return None
        self._tallies[key] = _Tally(now + EVERY)
        return Notice(*key, 1, first=True)

    def due(self, now: float) -> list[Notice]:
        """Return what is to be told at `now`. Who was not limited for a minute is forgotten."""
        notices = []
        for key, tally in list(self._tallies.items()):
            if tally.due > now:
                break
            del self._tallies[key]
            if tally.count:
                notices.append(Notice(*key, tally.count, first=False))
                self._tallies[key] = _Tally(now + EVERY)
        return notices

    def rest(self) -> list[Notice]:
        """Return what has not been told yet, and forget all."""
        tallies, self._tallies = self._tallies, {}
        return [Notice(*key, t.count, first=False) for key, t in tallies.items() if t.count]


def _name(client: Client) -> str:
    """Return what the log calls what limits count as one client: an IPv6 /64, where it may have
    all of an address.
    """
    whole = client.logged == client.address and ":" in client.address
    return client.key if whole else client.logged
