# SPDX-License-Identifier: MIT
"""When a user last logged in, from the records of logins that this machine keeps.

It blocks: call it in a thread. Debian 12 and its like keep lastlog and wtmp; since their times end
in 2038, newer systems keep SQLite databases instead: wtmpdb(8) or lastlog2(8). A machine may have
several of them, some of them empty: the newest record counts. None is complete (the program that
logs people in must be set up to write it), so that no answer ever says "never logged in".
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import NamedTuple

from fingerd_sd.config.mistakes import File
from fingerd_sd.protocol.entry import Login
from fingerd_sd.protocol.text import decode
from fingerd_sd.sources.accounts.sessions.moment import moment
from fingerd_sd.sources.accounts.sessions.utmp import (
    LASTLOG,
    WTMP,
    Record,
    last_in_lastlog,
    last_in_wtmp,
)

WTMPDB = ("/var/log/wtmp.db", "/var/lib/wtmpdb/wtmp.db")
LASTLOG2 = "/var/lib/lastlog/lastlog2.db"
MAX_STEPS = 20_000_000  # of SQLite's machine for one question: about half a second
MAX_FIELD = 256  # characters of a terminal or host: as much as utmp holds

_WTMPDB_QUERY = (
    "SELECT Login / 1000000, substr(TTY, 1, ?2), substr(RemoteHost, 1, ?2) FROM wtmp"
    " WHERE User = ?1 AND Type = 3 ORDER BY Login DESC LIMIT 1"
)
_LASTLOG2_QUERY = (
    "SELECT Time, substr(TTY, 1, ?2), substr(RemoteHost, 1, ?2) FROM Lastlog2"
    " WHERE Name = ?1 AND Time > 0"
)


class Records(NamedTuple):
    """Where records of logins are."""

    wtmpdb: tuple[File, ...] = WTMPDB
    lastlog2: File = LASTLOG2
    lastlog: File = LASTLOG
    wtmp: File = WTMP


HERE = Records()


def last_login(uid: int, user: str, records: Records = HERE) -> tuple[Login | None, str]:
    """Return the last login of the account, None if none is known, and where that is from.

    It never raises for the contents of a file, or for a file that is missing or cannot be read.
    """
    best: Record | None = None
    origin = ""
    notes: list[str] = []
    for path, read in _readers(uid, user, records):
        try:
            record = read()
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            notes.append(f"{path}: {error}")
            continue
        notes.append(f"{path} has none")
        if record is not None and (best is None or record.at > best.at):
            best, origin = record, str(path)
    at = moment(best.at) if best is not None else None
    if best is None or at is None:
        return None, "; ".join(notes) or "this machine keeps no record of logins"
    return Login(at, best.tty or None, best.host or None), origin


def _readers(
    uid: int, user: str, records: Records
) -> Iterator[tuple[File, Callable[[], Record | None]]]:
    for path in records.wtmpdb:
        yield path, lambda path=path: _ask(path, _WTMPDB_QUERY, user)  # type: ignore[misc]
    yield records.lastlog2, lambda: _ask(records.lastlog2, _LASTLOG2_QUERY, user)
    yield records.lastlog, lambda: last_in_lastlog(uid, user, records.lastlog)
    yield records.wtmp, lambda: last_in_wtmp(user, records.wtmp)


def _ask(path: File, query: str, user: str) -> Record | None:
    """Return the one row of `query` for `user`. Raises OSError or ValueError if that fails."""
    if not os.path.exists(path):
        raise FileNotFoundError
    import sqlite3  # only if there is such a file: importing takes 6 ms
    from urllib.parse import quote

    try:
        database = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=0.5)
        with closing(database):
            database.text_factory = decode  # a name that is not UTF-8 is another user's
            database.set_progress_handler(lambda: 1, MAX_STEPS)
            row = database.execute(query, (user, MAX_FIELD)).fetchone()
    except sqlite3.Error as error:
        raise OSError(str(error)) from error
    if row is None or not isinstance(row[0], int):
        return None
    tty, host = (text if isinstance(text, str) else "" for text in row[1:])
    return Record(user, row[0], tty, host)
