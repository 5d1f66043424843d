# SPDX-License-Identifier: MIT
"""Writes the binary records of logins as login(1) does."""

from __future__ import annotations

import os
import time
from pathlib import Path

from fingerd_sd.sources.accounts.sessions.utmp import LASTLOG_RECORD, RECORD, USER_PROCESS

NOW = int(time.time())
DEAD_PROCESS = 8


def utmp(
    user: str | bytes, tty: str, at: float, host: str | bytes = b"", kind: int = USER_PROCESS
) -> bytes:
    """Return one record of utmp(5)."""
    return RECORD.pack(
        kind, 1, tty.encode(), b"", os.fsencode(user), os.fsencode(host), 0, int(at), 0,
        b"", b"",
    )  # fmt: skip


def lastlog(at: float, tty: str, host: str = "") -> bytes:
    """Return one record of lastlog."""
    return LASTLOG_RECORD.pack(int(at), tty.encode(), host.encode())


def write_lastlog(path: Path, entries: dict[int, bytes]) -> None:
    """Write a sparse lastlog: `entries` by uid."""
    with path.open("wb") as stream:
        for uid, octets in entries.items():
            stream.seek(uid * LASTLOG_RECORD.size)
            stream.write(octets)
