# SPDX-License-Identifier: MIT
"""Turns seconds since the epoch into a time in this machine's zone."""

from __future__ import annotations

from datetime import datetime


def moment(seconds: float) -> datetime | None:
    """Return the time with this machine's time zone; None if the number is beyond all years, as it
    may be in a file that others write.
    """
    try:
        return datetime.fromtimestamp(seconds).astimezone()
    except (OverflowError, ValueError, OSError):
        return None
