# SPDX-License-Identifier: MIT
"""Seconds since the epoch become a time in this machine's zone."""

from __future__ import annotations

from datetime import datetime


def moment(seconds: float) -> datetime | None:
    """Return that time with this machine's time zone; None where the number is beyond all years,
    as it may be in a file that others write.
    """
    try:
        return datetime.fromtimestamp(seconds).astimezone()
    except (OverflowError, ValueError, OSError):
        return None
