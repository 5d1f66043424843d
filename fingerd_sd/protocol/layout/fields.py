# SPDX-License-Identifier: MIT
"""What the forms share: one-line fields, phone numbers, days, when the year matters.

Sans-I/O.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import TypeGuard

from fingerd_sd.protocol.text import one_line

MAX_FIELD = 256  # characters of a one-line atom: a screen's line three times over
HALF_A_YEAR = 365 * 86400 / 2  # seconds: from then on the year matters more than the hour


def is_known(seconds: float | None) -> TypeGuard[float]:
    """Whether an idle time can be shown: a source may give one that is not a number, or endless."""
    return seconds is not None and math.isfinite(seconds)


def day_and_hour(at: datetime, now: float) -> str:
    """Return `at` in 12 columns: the day and the hour, or the day and the year if that matters more
    at `now`, in seconds since the epoch.
    """
    return f"{at:%b %e}  {at:%Y}" if now - at.timestamp() >= HALF_A_YEAR else f"{at:%b %e %H:%M}"


def phone_number(digits: str) -> str:
    """Return a number of 11, 10, 7, 5 or 4 digits with its hyphens; any other as it was written."""
    if not (digits.isascii() and digits.isdigit()):
        return digits
    match len(digits):
        case 11:
            return f"+{digits[0]}-{digits[1:4]}-{digits[4:7]}-{digits[7:]}"
        case 10:
            return f"{digits[:3]}-{digits[3:6]}-{digits[6:]}"
        case 7:
            return f"{digits[:3]}-{digits[3:]}"
        case 5:
            return f"x{digits[0]}-{digits[1:]}"
        case 4:
            return f"x{digits}"
    return digits


def field(text: str | None) -> str:
    """Return `text` as one bounded line; "" where there is none."""
    return one_line(text, MAX_FIELD) if text else ""
