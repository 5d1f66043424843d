# SPDX-License-Identifier: MIT
"""The store of what users have published, as it is read: a file of SQLite's, which only the keeper
writes.

The keeper's journal is a rollback journal, since a reader that may write nothing could not open a
write-ahead log. So a reader waits while a publish is put on the disk; and if the keeper was killed
then, until the next keeper has rolled that back. Whatever it reads is whole.

It blocks: call it in a thread. It knows no accounts and no clients.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from typing import Any
from urllib.parse import quote

from fingerd_sd.sources.published.person import Row

FILE = "published.sqlite"
VERSION = 1
# person: at, until: seconds since the epoch; first: the plan's first line; links: JSON, an array of
# objects with rel, href and perhaps type.
# spent: how often a user has published in an hour since the epoch.
SCHEMA = f"""
CREATE TABLE person (
    login TEXT PRIMARY KEY, uid INTEGER NOT NULL, at REAL NOT NULL,
    plan TEXT, project TEXT, key TEXT, status TEXT, until REAL, first TEXT,
    links TEXT NOT NULL DEFAULT '[]'
) WITHOUT ROWID;
CREATE INDEX person_at ON person (at DESC);
CREATE TABLE spent (
    uid INTEGER, hour INTEGER, count INTEGER, PRIMARY KEY (uid, hour)
) WITHOUT ROWID;
PRAGMA user_version = {VERSION};
"""
PATIENCE = 4.0  # seconds until a file that another writes, or must mend, can be read
_PAUSE = 0.02  # seconds between two tries

_PERSON = (
    "SELECT login, uid, at, plan, project, key, status, until, first, links FROM person"
    " WHERE login = ?"
)
_RECENT = "SELECT login, at FROM person ORDER BY at DESC LIMIT ?"


class Reader:
    """Reads the store in the file at `path`. Threads may share it. If there is no such file, nobody
    has published; if another takes its place, the next question is put to that one.

    Its methods raise sqlite3.Error if the file cannot be read in time, and OSError if it may not be
    looked at.
    """

    def __init__(self, path: str, patience: float = PATIENCE) -> None:
        self._path = path
        self._patience = patience
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None  # device and inode

    def person(self, login: str) -> Row | None:
        """Return what `login`, in this spelling, has published; None: nothing."""
        rows = self._ask(_PERSON, login)
        return Row(*rows[0]) if rows else None

    def recent(self, limit: int) -> list[tuple[str, float]]:
        """Return who published last, at most `limit`, newest first: the login, and when."""
        return self._ask(_RECENT, limit)

    def count(self) -> int:
        """Return how many users have published."""
        rows = self._ask("SELECT count(*) FROM person")
        return int(rows[0][0]) if rows else 0

    def close(self) -> None:
        """Close the file; a later question opens it again."""
        with self._lock:
            self._close()

    def _ask(self, question: str, *values: object) -> list[Any]:
        end = time.monotonic() + self._patience
        with self._lock:
            while True:
                try:
                    database = self._current()
                    return [] if database is None else database.execute(question, values).fetchall()
                except sqlite3.OperationalError as error:
                    if "no such table" in str(error):  # the keeper has begun it, and no more
                        return []
                    self._close()
                    if time.monotonic() >= end:
                        raise
                time.sleep(_PAUSE)

    def _current(self) -> sqlite3.Connection | None:
        """Return the open file; None: there is none."""
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            self._close()
            return None
        if self._opened != (found.st_dev, found.st_ino):
            self._close()
        if self._database is None:
            self._database = sqlite3.connect(
                f"file:{quote(self._path)}?mode=ro",
                uri=True,
                timeout=self._patience,
                check_same_thread=False,  # one thread at a time: the lock
            )
            self._opened = found.st_dev, found.st_ino
        return self._database

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
        self._database, self._opened = None, None
