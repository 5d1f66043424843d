# SPDX-License-Identifier: MIT
"""The answer to one query line, and what may have become of a query."""

from __future__ import annotations

from typing import NamedTuple

from fingerd_sd.protocol.text import escaped

# FINGER_RESULT of a query, as the journal and the counts in STATUS name it.
FOUND, ABSENT, REFUSED, LIMIT, BAD = "found", "absent", "refused", "limited", "malformed"
FAILED, TIMEOUT = "failed", "timeout"
RESULTS = (FOUND, ABSENT, REFUSED, LIMIT, BAD, FAILED, TIMEOUT)
MAX_SHOWN = 2048  # octets of a line that the journal gets: escaped, they fit one of its fields
MISSES = (ABSENT, REFUSED, BAD)  # what counts more against a rate: hidden is ABSENT as well


class Answer(NamedTuple):
    """What goes out for one query line. `octets`: all of it. `query`: the line, printable, for the
    journal. `steps`: how it came about, for `ask --explain`.
    """

    octets: bytes
    result: str
    query: str
    source: str = ""
    steps: tuple[str, ...] = ()


def shown_of(line: bytes) -> str:
    """Return a query line as the journal has it: printable and bounded."""
    return escaped(line[:MAX_SHOWN].rstrip(b"\r\n"))
