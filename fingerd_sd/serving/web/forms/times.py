# SPDX-License-Identifier: MIT
"""Times as the forms write them.

Sans-I/O, but for the time zone of the machine.
"""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(at: datetime) -> str:
    """Return `at`, which has a time zone, in UTC to the second, as in RFC 3339 §5.6."""
    try:
        there = at.astimezone(UTC)
    except OverflowError:  # the first and the last day that Python knows
        there = at.replace(tzinfo=UTC)
    return there.replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def rfc3339_at(seconds: float) -> str:
    """Return the time `seconds` since the epoch, as in RFC 3339 §5.6."""
    return rfc3339(datetime.fromtimestamp(seconds, UTC))


def in_words(at: datetime) -> str:
    """Return `at`, which has a time zone, to the minute and for people: "Wed 25 Nov 2026, 08:10
    UTC".
    """
    return at.strftime("%a %-d %b %Y, %H:%M %Z")
