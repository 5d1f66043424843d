# SPDX-License-Identifier: MIT
"""The moment when an answer that tells of nobody may leave, so that its time tells nothing either.

A look-up that finds no account is quicker than one that looks into a home and finds no plan. So
both leave at a moment that follows from the query's own time and the floor, and not from what the
look-up did. Moments lie on a grid that all connections share, and one timer serves them all.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import TypeAlias

from fingerd_sd.serving.waiting.bursts import Burst, nothing

GRID = 4  # moments within one floor; differences between look-ups stay within one
BATCH = 64  # answers for one turn of the loop, as many as it accepts connections

Release: TypeAlias = Callable[[], None]


class Floor:
    """Releases answers. `loop`: whose time all seconds here are. `burst`: see Burst."""

    def __init__(self, loop: asyncio.AbstractEventLoop, burst: Burst = nothing) -> None:
        self._loop = loop
        self._burst = burst
        self._held: dict[float, list[tuple[float, Release]]] = {}  # by moment: since, release
        self._timer: asyncio.TimerHandle | None = None

    def hold(self, release: Release, since: float, floor: float) -> None:
        """Call `release` `floor` seconds after `since`, when the query came. If that is over, call
        it at the next multiple of `floor`. In both cases it waits for the next moment of the grid.
        """
        now = self._loop.time()
        due = since + floor * max(1, math.ceil((now - since) / floor))
        step = floor / GRID
        moment = math.ceil(due / step) * step
        self._held.setdefault(moment, []).append((since, release))
        if self._timer is None or moment < self._timer.when():
            self._arm(moment)

    def _arm(self, moment: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(moment, self._release_due)

    def _release_due(self) -> None:
        """Release in the order of the queries: the order in which look-ups end tells something."""
        self._timer = None
        self._burst(True)
        try:
            self._release_all()
        finally:
            self._burst(False)
        if self._held:
            self._arm(min(self._held))

    def _release_all(self) -> None:
        now = self._loop.time()
        for moment in sorted(moment for moment in self._held if moment <= now):
            waiting = sorted(self._held.pop(moment), key=lambda held: held[0])
            for _, release in waiting[:BATCH]:
                release()
            if waiting[BATCH:]:
                self._held.setdefault(moment, [])[:0] = waiting[BATCH:]
                break
