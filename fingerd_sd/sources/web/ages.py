# SPDX-License-Identifier: MIT
"""Spans of time, for people."""

from __future__ import annotations


def age_of(seconds: float) -> str:
    """Return a span of time for people, in its largest whole unit."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            number = int(seconds // length)
            return f"{number} {unit}{'s' if number > 1 else ''}"
    number = int(seconds)
    return f"{number} second{'' if number == 1 else 's'}"
