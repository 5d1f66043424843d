# SPDX-License-Identifier: MIT
"""Spans of time, for people, and old answers that say how old they are.

Sans-I/O: the time comes in as an argument.
"""

from __future__ import annotations

from fingerd_sd.protocol.entry import Text

STANDS_IN = 5.0  # seconds that an old answer is reused before its source is asked again


def age_of(seconds: float) -> str:
    """Return a span of time for people, in its largest whole unit."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            number = int(seconds // length)
            return f"{number} {unit}{'s' if number > 1 else ''}"
    number = int(seconds)
    return f"{number} second{'' if number == 1 else 's'}"


def old_note(age: str) -> str:
    """Return the line that says to a client that an answer is old by `age`, a span of time."""
    return f"[This answer is {age} old: no newer one can be had now]"


def stand_in(text: str, age: float, origin: str, why: str, lifetime: float) -> Text:
    """Return the old `text`, of `age` seconds, for an answer that cannot be had. `why` it cannot is
    told with `origin`. It may be reused for STANDS_IN seconds, or for `lifetime` if that is less.
    """
    old = age_of(age)
    whole = text if text.endswith("\n") else text + "\n"
    return Text(
        f"{whole}{old_note(old)}\n",
        f"{origin}, {old} old, since: {why}",
        min(STANDS_IN, lifetime),
    )
