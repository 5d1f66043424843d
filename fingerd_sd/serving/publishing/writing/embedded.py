# SPDX-License-Identifier: MIT
"""The file of what users have published, as it is written: one transaction for each change.

A change that is acknowledged is on the disk: SQLite commits it with fsync(2) before a call here
returns. Only one process writes, and only one thread of it. sources/published/store.py has the
schema, and reads.
"""

from __future__ import annotations

import mmap
import os
import sqlite3
import struct
from types import TracebackType

from fingerd_sd.config.publish import PublishKeys
from fingerd_sd.serving.publishing import tally, wire
from fingerd_sd.serving.publishing.writing.changing import (
    HOUR,
    KEEP_GONE,
    changed,
    is_empty,
    need_size,
    nobody,
    too_many,
    too_often,
)
from fingerd_sd.sources.published import news
from fingerd_sd.sources.published.person import Row
from fingerd_sd.sources.published.store import FILE, SCHEMA, VERSION

SWEEP_EVERY = 86400.0  # seconds between two looks for such entries
# gone: whose account was missing, and since when; swept: when somebody looked. Nobody reads them.
_OWN = (
    """
CREATE TABLE gone (
    login TEXT, uid INTEGER, since REAL, PRIMARY KEY (login, uid)
) WITHOUT ROWID;
CREATE TABLE swept (at REAL);
"""
    + tally.SCHEMA
)
_ROW = "SELECT login, uid, at, plan, project, key, status, until, first, links FROM person"


class Writer:
    """Writes into the folder `state`. Raises sqlite3.Error and OSError; nothing is changed then.

    Its calls block. `now`: seconds since the epoch.
    """

    def __init__(self, state: str) -> None:
        self._database = sqlite3.connect(
            os.path.join(state, FILE), isolation_level=None, check_same_thread=False
        )
        try:
            self._begin()
            self._generation = _Generation(os.path.join(state, news.FILE))
        except BaseException:
            self._database.close()
            raise
        self._generation.add()  # a keeper before this one may have been killed before it did

    def _begin(self) -> None:
        # EXTRA: the journal's end is on the disk too, which is what commits; with FULL, a loss of
        # power might bring the journal back, and with it what was there before. And what is removed
        # is overwritten.
        self._database.executescript(
            "PRAGMA journal_mode = DELETE; PRAGMA synchronous = EXTRA; PRAGMA secure_delete = ON"
        )
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version not in (0, VERSION):
            raise OSError(f"{FILE} is of version {version}, and this program writes {VERSION}")
        if version == 0:
            self._database.executescript(f"BEGIN; {SCHEMA} {_OWN} COMMIT")

    def close(self) -> None:
        """Close the files."""
        self._database.close()
        self._generation.close()

    def person(self, login: str, uid: int) -> Row | None:
        """Return what `login` has published; None: nothing, or another user of that name has."""
        found = self._database.execute(f"{_ROW} WHERE login = ?", (login,)).fetchone()
        return Row(*found) if found and found[1] == uid else None

    def publish(
        self, login: str, uid: int, asked: wire.Request, limits: PublishKeys, now: float
    ) -> Row | None:
        """Store what `login` asks, and return the entry; None: nothing is left of it. Raises
        Refused where that is beyond `limits`.
        """
        with self._transaction():
            before = self.person(login, uid)
            after = changed(before or nobody(login, uid, now), asked, now)
            need_size(after, limits)
            if before is None and self.count() >= limits.max_people:
                raise too_many(limits)
            self._spend(uid, limits, now)
            return self._put(after)

    def remove(self, login: str) -> bool:
        """Drop what `login` has published; return whether there was anything. If not, nothing is
        written, and no reader is told: who removes again and again gives nobody any work.
        """
        found = self._database.execute("SELECT 1 FROM person WHERE login = ?", (login,))
        if found.fetchone() is None:
            return False
        with self._transaction():
            self._database.execute("DELETE FROM person WHERE login = ?", (login,))
            self._database.execute("DELETE FROM asked WHERE login = ?", (login,))
        return True

    def note(self, counts: tally.Counts, now: float) -> None:
        """Add how often users were asked for. Answers stay the same, so no reader is told."""
        with _Transaction(self._database, None):
            tally.note(self._database, counts, now)

    def asked(self, login: str, now: float) -> dict[str, int]:
        """Return how often `login` was asked for lately; see tally.asked."""
        return tally.asked(self._database, login, now)

    def count(self) -> int:
        """Return how many users have an entry."""
        (count,) = self._database.execute("SELECT count(*) FROM person").fetchone()
        return int(count)

    def to_sweep(self, now: float) -> list[tuple[str, int]]:
        """Return login and uid of all entries if today nobody has looked whose account is gone."""
        last = self._database.execute("SELECT at FROM swept").fetchone()
        if last is not None and 0 <= now - last[0] < SWEEP_EVERY:
            return []
        return self.people()

    def people(self) -> list[tuple[str, int]]:
        """Return login and uid of all entries."""
        return self._database.execute("SELECT login, uid FROM person").fetchall()

    def sweep(self, missing: set[tuple[str, int]], now: float) -> list[str]:
        """Note whose accounts are `missing`, by login and uid; drop the entries, and return the
        logins, of those that have been for KEEP_GONE seconds.
        """
        rows = self._database.execute("SELECT login, uid, since FROM gone").fetchall()
        noted = {(login, uid): since for login, uid, since in rows}
        over = [who for who in missing if now - noted.get(who, now) >= KEEP_GONE]
        left = [(*who, min(now, noted.get(who, now))) for who in missing.difference(over)]
        delete = "DELETE FROM person WHERE login = ? AND uid = ?"  # not of a login's new owner
        with self._transaction():
            self._database.executemany(delete, over)
            self._database.execute("DELETE FROM gone")
            self._database.executemany("INSERT INTO gone VALUES (?, ?, ?)", left)
            self._database.execute("DELETE FROM spent WHERE hour != ?", (int(now // HOUR),))
            self._database.execute("DELETE FROM swept")
            self._database.execute("INSERT INTO swept VALUES (?)", (now,))
        return sorted(login for login, _ in over)

    def _put(self, after: Row) -> Row | None:
        if is_empty(after):
            self._database.execute("DELETE FROM person WHERE login = ?", (after.login,))
            return None
        marks = ", ".join("?" * len(after))
        self._database.execute(f"INSERT OR REPLACE INTO person VALUES ({marks})", after)  # noqa: S608  # marks only
        return after

    def _spend(self, uid: int, limits: PublishKeys, now: float) -> None:
        hour = int(now // HOUR)
        spent = "SELECT count FROM spent WHERE uid = ? AND hour = ?"
        (count,) = self._database.execute(spent, (uid, hour)).fetchone() or (0,)
        if limits.per_hour and count >= limits.per_hour:
            raise too_often(limits)
        self._database.execute(
            "INSERT OR REPLACE INTO spent VALUES (?, ?, ?)", (uid, hour, count + 1)
        )

    def _transaction(self) -> _Transaction:
        return _Transaction(self._database, self._generation)


class _Transaction:
    """A transaction: all of it is on the disk when it ends, and readers are told; or none is."""

    def __init__(self, database: sqlite3.Connection, generation: _Generation | None) -> None:
        self._database = database
        self._generation = generation

    def __enter__(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._database.execute("COMMIT")
        finally:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
        if kind is None and self._generation is not None:
            self._generation.add()


class _Generation:
    """A number in a file that readers map: another one means that an answer may have changed."""

    def __init__(self, path: str) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            if os.fstat(descriptor).st_size != news.SIZE:
                os.pwrite(
                    descriptor, bytes(news.SIZE), 0
                )  # on the disk, and no hole: a full disk says so
                os.ftruncate(descriptor, news.SIZE)
            self._map = mmap.mmap(descriptor, news.SIZE)
        finally:
            os.close(descriptor)

    def add(self) -> None:
        (number,) = struct.unpack_from("<Q", self._map)
        struct.pack_into("<Q", self._map, 0, (number + 1) % (1 << 64))

    def close(self) -> None:
        self._map.close()
