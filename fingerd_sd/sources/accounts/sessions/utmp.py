# SPDX-License-Identifier: MIT
"""The binary records of logins: utmp (who is logged in), wtmp (who was), lastlog (each user's
last).

It blocks: call it in a thread. It knows no accounts, policy or layouts. The records are those of
utmp(5) and <lastlog.h> in glibc. A program that may write them may write anything into them, so
each field is a bounded array of octets that become text, and nothing more.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

from fingerd_sd.config.mistakes import File
from fingerd_sd.protocol.text import decode

UTMP = "/run/utmp"
WTMP = "/var/log/wtmp"
LASTLOG = "/var/log/lastlog"

MAX_UTMP = 1 << 22  # octets read of utmp: eleven thousand terminals
MAX_WTMP = 1 << 22  # octets read of wtmp, from its end: the last ten thousand records
_BLOCK = 1 << 16  # octets at once

USER_PROCESS = 7  # ut_type of a login
# Most 64-bit machines keep 32-bit times there, to share the files with 32-bit programs; aarch64
# never had such programs (glibc: __WORDSIZE_TIME64_COMPAT32).
_WIDE = os.uname().machine.startswith("aarch64")
# type, pid, line, id, user, host, exit, session, seconds, microseconds, address, unused
RECORD = struct.Struct(
    "=h2xi32s4s32s256s4xqqq16s20s4x" if _WIDE else "=h2xi32s4s32s256s4xiIi16s20s"
)
LASTLOG_RECORD = struct.Struct("=q32s256s" if _WIDE else "=I32s256s")  # seconds, line, host


class Record(NamedTuple):
    """A login. `at`: seconds since the epoch. `tty`, `host`: "" if there is none."""

    user: str
    at: int
    tty: str
    host: str


def logged_in(path: File = UTMP) -> list[Record]:
    """Return the logins that last. Raises OSError if utmp cannot be read."""
    with open(path, "rb") as stream:
        octets = stream.read(MAX_UTMP)
    return list(_logins(octets))


def last_in_wtmp(user: str, path: File = WTMP) -> Record | None:
    """Return the last login of `user` in the last MAX_WTMP octets of wtmp.

    Raises OSError if it cannot be read.
    """
    name = os.fsencode(user)
    step = _BLOCK - _BLOCK % RECORD.size
    with open(path, "rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        end -= end % RECORD.size
        first = max(0, end - MAX_WTMP // RECORD.size * RECORD.size)
        while end > first:
            start = max(first, end - step)
            stream.seek(start)
            logins = list(_logins(stream.read(end - start), name))
            if logins:
                return logins[-1]
            end = start
    return None


def last_in_lastlog(uid: int, user: str, path: File = LASTLOG) -> Record | None:
    """Return the last login of `uid`, or None if lastlog has none. `user`: the name to give it.

    The file is sparse and as long as the highest uid needs. Raises OSError if it cannot be read.
    """
    with open(path, "rb") as stream:
        stream.seek(uid * LASTLOG_RECORD.size)
        octets = stream.read(LASTLOG_RECORD.size)
    if len(octets) < LASTLOG_RECORD.size:
        return None
    at, line, host = LASTLOG_RECORD.unpack(octets)
    return Record(user, at, _text(line), _text(host)) if at else None


def _logins(octets: bytes, name: bytes | None = None) -> Iterator[Record]:
    """Return the logins in `octets`, only those of the user `name` if that is given."""
    whole = len(octets) - len(octets) % RECORD.size
    for kind, _, line, _, user, host, _, at, *_ in RECORD.iter_unpack(octets[:whole]):
        found = user.partition(b"\0")[0]
        if kind == USER_PROCESS and found and name in (None, found):
            yield Record(os.fsdecode(found), at, _text(line), _text(host))


def _text(field: bytes) -> str:
    return decode(field.partition(b"\0")[0])
