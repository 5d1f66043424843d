# SPDX-License-Identifier: MIT
"""One timer for many deadlines: a timer for each would cost more than what it guards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")

SWEEP = 0.25  # seconds that a deadline may be late: one timer serves all
EXPIRED = 16  # deadlines for one turn of the loop: thousands may be over at once


class Deadlines(Generic[T]):
    """The deadline of each item, in the loop's seconds. `expire` is called for each item whose time
    is over, and must drop it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, expire: Callable[[T], None]) -> None:
        self._loop = loop
        self._expire = expire
        self._at: dict[T, float] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    def set(self, item: T, at: float) -> None:
        """Let `item` expire at `at`."""
        self._at[item] = at
        if self._sweeper is not None and at + SWEEP < self._sweeper.when():
            self._disarm()  # a reload has made deadlines shorter
        self._arm()

    def drop(self, item: T) -> None:
        """Forget `item`, whether it has a deadline or not."""
        self._at.pop(item, None)

    def bound(self, latest: float) -> None:
        """Let every item expire at `latest`, if not before."""
        self._at = {item: min(at, latest) for item, at in self._at.items()}
        self._disarm()
        self._arm()

    def _arm(self) -> None:
        """Look at the oldest deadline when it is over."""
        if self._sweeper is None and self._at:
            self._sweeper = self._loop.call_at(min(self._at.values()) + SWEEP, self._sweep)

    def _disarm(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    def _sweep(self) -> None:
        self._sweeper = None
        now = self._loop.time()
        late = (item for item, at in self._at.items() if at <= now)
        some = list(islice(late, EXPIRED))  # the oldest stand first, unless a reload came between
        for item in some:
            self._expire(item)
        if len(some) == EXPIRED:
            self._sweeper = self._loop.call_at(now, self._sweep)
        else:
            self._arm()
