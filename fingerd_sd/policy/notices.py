# SPDX-License-Identifier: MIT
"""Notices of limited queries for the log: one a minute for each client, with a count.

Sans-I/O: the time comes in as an argument. Every limited query is in the count of one notice.
However many clients are limited, there are at most MAX_SINGLE + 1 notices a minute.
"""

from __future__ import annotations

from typing import NamedTuple

from fingerd_sd.policy.rules import Client

EVERY = 60.0  # seconds between two notices of one client
MAX_SINGLE = 100  # clients that have notices of their own; all other clients share one
OTHERS = ("others", "")  # client and audience in the notice that those share


class Notice(NamedTuple):
    """How many `queries` of `client` were limited; `client`: as the log may call it. `first`: no
    query of the client was limited in the minute before.
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
    """Counts limited queries. A client's first one makes a notice at once. The following ones make
    a notice a minute later, and every minute as long as there are more.
    """

    def __init__(self) -> None:
        self._tallies: dict[tuple[str, str], _Tally] = {}  # in the order in which they are due

    @property
    def clients(self) -> int:
        """How many were limited in the last minute; beyond MAX_SINGLE all others count as one."""
        return len(self._tallies)

    @property
    def due_at(self) -> float | None:
        """When to call `due` next, in monotonic seconds; None: not before `count`."""
        return next((tally.due for tally in self._tallies.values()), None)

    def count(self, client: Client, now: float) -> Notice | None:
        """Count a limited query of `client` at `now`; return the notice to log at once, if any."""
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
        """Return the notices due at `now`. Forget clients that were not limited for a minute."""
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
        """Return notices of what has not been logged yet, and forget everything."""
        tallies, self._tallies = self._tallies, {}
        return [Notice(*key, t.count, first=False) for key, t in tallies.items() if t.count]


def _name(client: Client) -> str:
    """Return the log's name for a client as limits count clients: for IPv6 the /64, if the log may
    have the whole address.
    """
    whole = client.logged == client.address and ":" in client.address
    return client.key if whole else client.logged
