# SPDX-License-Identifier: MIT
"""The sessions of one host as the store has them: written, and read as little trusted as a file.

Another host may be taken over, and then tells whatever it likes. So what is read is bounded, and of
the right types, and has no character that may not be shown. Sans-I/O.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from fingerd_sd.protocol.text import is_printable

MAX_SESSIONS = 1024  # of one host: more people than one machine has at once
MAX_OCTETS = 256 * 1024  # of one host's sessions: 256 octets for each
MAX_NAME = 256  # characters of a login
MAX_WORD = 256  # characters of a terminal, or of where a session is from
MAX_UID = 2**32 - 2
MAX_TIME = 1e11  # seconds since the epoch

HOST = re.compile(r"[0-9A-Za-z_](?:[0-9A-Za-z_-]{0,61}[0-9A-Za-z_])?")


class Told(NamedTuple):
    """A session of `user`, whom its host knows by `uid`. `since`, `active`: seconds since the
    epoch, by that host's clock; `active`: of the last input. None: not known, or there is none.
    """

    user: str
    uid: int
    since: float
    tty: str | None = None
    host: str | None = None
    active: float | None = None
    messages: bool | None = None


def octets_of(sessions: Sequence[Told]) -> bytes:
    """Return `sessions` as the store has them, as many as there may be."""
    rows = [list(one) for one in sessions[:MAX_SESSIONS]]
    octets = _dumped(rows)
    while len(octets) > MAX_OCTETS:
        rows = rows[: len(rows) // 2]
        octets = _dumped(rows)
    return octets


def _dumped(rows: list[list[Any]]) -> bytes:
    return json.dumps(rows, separators=(",", ":")).encode()


def sessions_in(octets: bytes) -> tuple[Told, ...]:
    """Return the sessions in `octets`, without those that no host of ours would tell. It never
    raises for what they are.
    """
    return tuple(sound(rows_in(octets)))


def rows_in(octets: bytes) -> list[Any]:
    """Return what may be sessions in `octets`, for `sound`. It takes some 2 ms at the most."""
    if len(octets) > MAX_OCTETS:
        return []
    try:
        rows = json.loads(octets)
    except (ValueError, RecursionError):
        return []
    return rows[:MAX_SESSIONS] if isinstance(rows, list) else []


def sound(rows: Sequence[Any]) -> Iterator[Told]:
    """Yield those of `rows` that are sessions. It takes some 10 µs for each."""
    for row in rows:
        if not isinstance(row, list) or len(row) != len(Told._fields):
            continue
        user, uid, since, tty, host, active, messages = row
        if (
            _is_text(user, MAX_NAME)
            and type(uid) is int
            and 0 <= uid <= MAX_UID
            and _is_time(since)
            and (tty is None or _is_text(tty, MAX_WORD))
            and (host is None or _is_text(host, MAX_WORD))
            and (active is None or _is_time(active))
            and (messages is None or type(messages) is bool)
        ):
            yield Told(*row)


def _is_text(value: Any, most: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= most and is_printable(value)


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and 0 <= value <= MAX_TIME
