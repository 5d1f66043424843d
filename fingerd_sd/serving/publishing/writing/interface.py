# SPDX-License-Identifier: MIT
"""What the keeper asks of where it writes, in its event loop."""

from __future__ import annotations

from typing import Protocol

from fingerd_sd.config.publish import PublishKeys
from fingerd_sd.serving.publishing import tally, wire
from fingerd_sd.serving.publishing.writing.changing import Looked
from fingerd_sd.sources.published.person import Row


class Writing(Protocol):
    """Where entries are written. What is done when a call returns is durable.

    Each call raises Refused: either for what it is asked, or since it cannot be done; then it says
    whether nothing is stored. `now`: seconds since the epoch.
    """

    vouches: bool  # whether what accounts say of their users is stored with what they publish

    @property
    def trouble(self) -> str:
        """Why nothing can be stored, as a line; "" where all is well."""

    async def publish(
        self, login: str, uid: int, asked: wire.Request, limits: PublishKeys, now: float
    ) -> Row | None:
        """Store what `login` asks, and return the entry; None: nothing is left of it."""

    async def take_over(self, row: Row, now: float) -> bool:
        """Store `row` of a user of this host, with the time that it has; return whether that was
        done: not if the account is gone, or if there is an entry of that login already.
        """

    async def remove(self, login: str, uid: int) -> bool:
        """Drop what `login` has published; return whether there was anything."""

    async def person(self, login: str, uid: int) -> Row | None:
        """Return what `login` has published; None: nothing, or another user of that name has."""

    async def note(self, counts: tally.Counts, now: float) -> None:
        """Add how often users were asked for."""

    async def asked(self, login: str, now: float) -> dict[str, int]:
        """Return how often `login` was asked for lately; see tally.asked."""

    async def to_sweep(self, now: float) -> list[tuple[str, int]]:
        """Return login and uid of all whose accounts it is time to look for."""

    async def sweep(self, looked: Looked, now: float) -> list[str]:
        """Note what was `looked` for; return the logins whose entries are dropped: those whose
        accounts have been gone for KEEP_GONE seconds.
        """

    async def close(self) -> None:
        """Close what is open."""
