# SPDX-License-Identifier: MIT
"""Users in an SQLite database: nothing is loaded, so a million start as fast as ten.

static/compile.py makes the database. This module looks up one user at a time, in a thread, and
checks each user then, by the same rules as a user in TOML. Like static/source.py it knows no
clients and no layouts.
"""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from fingerd_sd.config.mistakes import Mistake
from fingerd_sd.config.table import Layer, Table, shown_key
from fingerd_sd.directory.source import MAX_LISTED, SourceError
from fingerd_sd.process.threads import Pool, Shared, Visit
from fingerd_sd.protocol.entry import Absent, Entry, Text
from fingerd_sd.protocol.query import is_name
from fingerd_sd.sources.static.users import read_user

P = TypeVar("P")
T = TypeVar("T")

APPLICATION = 0x66696E67  # "fing", in the field of SQLite's header that says whose file it is
VERSION = 1
# names: logins and aliases. entry: in JSON what the user is in TOML. words: of full names, folded.
SCHEMA = f"""
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
CREATE TABLE users (login TEXT PRIMARY KEY, entry TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE names (
    folded TEXT, name TEXT, login TEXT NOT NULL, PRIMARY KEY (folded, name)
) WITHOUT ROWID;
CREATE TABLE words (word TEXT, login TEXT, PRIMARY KEY (word, login)) WITHOUT ROWID;
"""
TIMEOUT = 5.0  # seconds for one look-up, and for a question to the database
STEPS = 10_000  # of SQLite's virtual machine between two looks at the clock: well below 1 ms

# A broken file may give octets instead of text, even in a message.
_BROKEN = (sqlite3.Error, UnicodeDecodeError)

_FIND = "SELECT name, login, entry FROM names LEFT JOIN users USING (login) WHERE folded = ?"
_WHO = "SELECT login FROM users ORDER BY login LIMIT ?"
_MATCH = (
    "SELECT login FROM words WHERE word IN (SELECT value FROM json_each(?))"
    " GROUP BY login HAVING count(*) = ? ORDER BY login LIMIT ?"
)


def fault(path: Path) -> str:
    """Return what is wrong with the database as a whole, and what to do; "" if nothing is wrong."""
    try:
        with closing(_connect(path)) as database:
            [whose] = database.execute("PRAGMA application_id").fetchone()
            [version] = database.execute("PRAGMA user_version").fetchone()
    except _BROKEN as error:
        return f"cannot be read: {error}; make it again with `fingerd-sd compile`"
    if (whose, version) != (APPLICATION, VERSION):
        return "is no database of users of this version; make it with `fingerd-sd compile`"
    return ""


def _connect(path: Path) -> sqlite3.Connection:
    # The threads of a pool come and go, but at most one has the connection. "immutable": a new file
    # takes the place of this one, so a look-up needs no locks, which are ten system calls:
    # https://www.sqlite.org/uri.html
    database = sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro&immutable=1",
        uri=True,
        timeout=TIMEOUT,
        check_same_thread=False,
    )
    try:
        database.execute("PRAGMA temp_store = MEMORY")  # the service can write nowhere
    except BaseException:
        database.close()
        raise
    return database


class _Reader:
    """One thread, and one connection, which it opens at the first question and then keeps. So a
    file that replaces this one is not used before the configuration is read again.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._pool = Pool(1, name)
        self._shared = Shared(self._pool)
        self._database: sqlite3.Connection | None = None
        self._end = 0.0  # monotonic seconds

    async def ask(self, call: Callable[[sqlite3.Connection, P], T], value: P) -> T:
        """Return what `call` makes of the database and `value`, which is hashable, in one visit of
        the thread. Raises SourceError if the database cannot be read in time.
        """
        return await self.visit(call, value).result()

    def visit(self, call: Callable[[sqlite3.Connection, P], T], value: P) -> Visit[T]:
        """Return the visit of the thread that `ask` makes."""
        return Visit(self._shared, (call, value), partial(self._ask, call, value))

    def _ask(self, call: Callable[[sqlite3.Connection, P], T], value: P) -> T:
        try:
            if self._database is None:
                self._database = _connect(self._path)
                self._database.set_progress_handler(self._is_late, STEPS)
            self._end = time.monotonic() + TIMEOUT
            return call(self._database, value)
        except _BROKEN as error:
            raise SourceError(f"{self._path}: {error}") from error

    def _is_late(self) -> bool:
        return time.monotonic() >= self._end

    async def close(self) -> None:
        await self._shared.call("close", self._close)

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None


class DatabaseSource:
    """Users in the database at `path`. A `Source` which, like StaticSource, lists its users and
    matches full names.
    """

    timeout = TIMEOUT
    lifetime = math.inf  # the configuration is read again before an answer changes

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self._path = path
        self._finds = _Reader(path, name)
        self._lists = _Reader(path, name)  # so that a long search delays no look-up

    async def find(self, user: str) -> Entry | Absent:
        """Return the entry of `user`, by StaticSource's rules: the exact name or alias, else
        without regard to case if that leads to one entry. Raises SourceError.
        """
        return await self._finds.ask(self._find, user)

    def visit(self, user: str, consented: bool) -> Visit[Entry | Absent]:  # none hides
        """Return the call that `find` makes."""
        return self._finds.visit(self._find, user)

    def _find(self, database: sqlite3.Connection, user: str) -> Entry | Absent:
        rows = database.execute(_FIND, (user.casefold(),)).fetchall()
        exact = [row for row in rows if row[0] == user]
        entries = {login: entry for _, login, entry in exact or rows}
        if not entries:
            return Absent("no such name or alias")
        if len(entries) > 1:
            return Absent("several names differ from it in case only, and none is exactly it")
        [(login, entry)] = entries.items()
        return self._entry(login, entry)

    async def who(self) -> Sequence[str]:
        """Return the users in the order of their logins; if there are very many, the first."""
        return await self._lists.ask(_who, MAX_LISTED + 1)

    async def match(self, asked: Sequence[str]) -> Sequence[str]:
        """Return the users whose full name has all words of `asked`; if there are very many, the
        first.
        """
        return await self._lists.ask(_match, frozenset(word.casefold() for word in asked))

    async def close(self) -> None:
        """Close the file."""
        await self._finds.close()
        await self._lists.close()

    def _entry(self, login: str, entry: str) -> Entry:
        try:
            value = json.loads(entry)
        except (ValueError, TypeError, RecursionError) as error:
            raise SourceError(f"{self._path}: user {login!r}: not JSON: {error}") from error
        if isinstance(value, str) and isinstance(login, str) and is_name(login):
            # What read_user says, without a table.
            return Text(value, f"{self._path}: {shown_key(login)}")
        mistakes: list[Mistake] = []
        users = Table([Layer(self._path, {login: value})], "", mistakes)
        user = read_user(users, login, value) if isinstance(login, str) else None
        if user is None or mistakes:
            raise SourceError("; ".join(map(str, mistakes)) or f"{self._path}: user {login!r}")
        return user[0]


def _who(database: sqlite3.Connection, limit: int) -> list[str]:
    return _logins(database.execute(_WHO, (limit,)))


def _match(database: sqlite3.Connection, words: frozenset[str]) -> list[str]:
    told = json.dumps(sorted(words))
    return _logins(database.execute(_MATCH, (told, len(words), MAX_LISTED + 1)))


def _logins(rows: Iterable[tuple[Any, ...]]) -> list[str]:
    return [login for (login,) in rows if isinstance(login, str)]  # another program wrote octets
