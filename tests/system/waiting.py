# SPDX-License-Identifier: MIT
"""Waits for events, never for a time to pass; every wait is bounded and says what it waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")

PATIENCE = 60.0  # seconds; reached only by a failure


def wait_for(
    event: Callable[[], Seen | None],
    what: str,
    timeout: float = PATIENCE,
    note: Callable[[], object] | None = None,
) -> Seen:
    """Return what `event` returns, as soon as it is true. Raise AssertionError after `timeout`.

    `note`: asked for more to say when it fails.
    """
    began = time.monotonic()
    while True:
        if seen := event():
            return seen
        waited = time.monotonic() - began
        if waited > timeout:
            more = f": {note()}" if note else ""
            raise AssertionError(f"waited {timeout:.0f} s for {what}{more}")
        time.sleep(min(0.01 + waited / 10, 0.25))  # looking costs a process each time
