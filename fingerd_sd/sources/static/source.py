# SPDX-License-Identifier: MIT
"""The static directory: users written in the configuration, or in a file of their own.

It reads the users with the configuration, and then answers from memory. It knows no clients, no
policy and no layouts. It does not read a database: static/database.py asks that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from fingerd_sd.config.files import read_toml
from fingerd_sd.config.mistakes import ConfigError, Mistake
from fingerd_sd.config.table import Table
from fingerd_sd.directory.source import MAX_LISTED
from fingerd_sd.protocol.entry import Absent, Entry, Person, Text
from fingerd_sd.sources.static.users import MAX_FILE, is_database, read_user

if TYPE_CHECKING:
    from fingerd_sd.process.threads import Shared
    from fingerd_sd.sources.static.database import DatabaseSource
    from fingerd_sd.sources.words import Index

_NOBODY = Absent("no such name or alias")
_SEVERAL = Absent("several names differ from it in case only, and none is exactly it")


class StaticSource:
    """Users in memory. `name`: of the source, for the journal. It answers at once, matches full
    names, and lists its users, as a vending machine lists its items (RFC 1288 §2.5.5).
    """

    timeout = math.inf  # it never waits
    lifetime = math.inf  # the configuration is read again before an answer changes

    def __init__(self, name: str) -> None:
        self.name = name
        self._exact: dict[str, Entry] = {}
        self._mixed: dict[str, list[str]] = {}  # folded name → those that differ in case
        self._words: Index | None = None  # made at its first use
        self._indexing: Shared | None = None  # those who ask meanwhile wait for the same

    async def find(self, user: str) -> Entry | Absent:
        """Return what `find_now` does."""
        return self.find_now(user)

    def find_now(self, user: str) -> Entry | Absent:
        """Return the entry of `user`: by the exact name or alias, else without regard to case if
        all names that differ only in case lead to one entry. RFC 1288 §2.5.3.
        """
        entry = self._exact.get(user)
        if entry is not None:
            return entry
        folded = user.casefold()
        if folded == user and folded not in self._mixed:
            return _NOBODY
        names = [folded, *self._mixed.get(folded, ())]
        entries = {id(found): found for name in names if (found := self._exact.get(name))}
        if not entries:
            return _NOBODY
        if len(entries) > 1:
            return _SEVERAL
        return next(iter(entries.values()))

    async def who(self) -> Sequence[str]:
        """Return the users, in the order of the files; of very many, the first ones."""
        return list(islice(self._users(), MAX_LISTED + 1))

    async def match(self, asked: Sequence[str]) -> Sequence[str]:
        """Return the users whose full name has all words of `asked`."""
        if self._words is None:  # of a million users that takes a second: not on the loop
            from fingerd_sd.process import threads

            self._indexing = self._indexing or threads.Shared(threads.Pool(1, self.name))
            self._words = await self._indexing.call("", self._index)
        from fingerd_sd.sources.words import matching

        return matching(self._words, asked)

    def give_back(self) -> None:
        """Drop the index of full names."""
        self._words = None

    def _users(self) -> Iterator[str]:
        """Return the users' own names, without aliases."""
        for name, entry in self._exact.items():
            if isinstance(entry, Text) or entry.login == name:
                yield name

    def _index(self) -> Index:
        from fingerd_sd.sources.words import index

        return index(
            (name, entry.name)
            for name, entry in self._exact.items()
            if isinstance(entry, Person) and entry.login == name and entry.name
        )

    def add(self, name: str, entry: Entry) -> bool:
        """Make `name` lead to `entry`. If it leads elsewhere, do nothing and return False."""
        if self._exact.setdefault(name, entry) is not entry:
            return False
        folded = name.casefold()
        if folded != name:
            self._mixed.setdefault(folded, []).append(name)
        return True


def read(table: Table, name: str) -> StaticSource | DatabaseSource:
    """Return the static source that a `[[source]]` table describes; mistakes go to the table."""
    source = StaticSource(name)
    tables = [table.inner("users", table.table("users"))]
    file = table.text("file", None)
    if file is not None and "\0" in file:
        table.wrong("file", "is no file name: a NUL is in it")
    elif file is not None:
        path = table.beside(file)
        try:
            if is_database(path):
                return _read_database(table, name, path)
            tables.append(table.other(path, read_toml(path, MAX_FILE)))
        except FileNotFoundError:
            table.wrong("file", f'"{path}" does not exist; create it, or remove this key')
        except ConfigError as error:
            table.adopt(error.mistakes)
    _read_users(tables, source)
    table.close()
    return source


def _read_database(table: Table, name: str, file: str) -> DatabaseSource:
    from pathlib import Path

    from fingerd_sd.sources.static.database import DatabaseSource, fault  # imports sqlite3: 6 ms

    path = Path(file)

    if wrong := fault(path):
        table.adopt([Mistake(path, "", wrong)])
    if table.table("users"):
        table.wrong("users", "cannot stand beside a database; give them a [[source]] of their own")
    table.close()
    return DatabaseSource(name, path)


def _read_users(tables: list[Table], source: StaticSource) -> None:
    aliases: list[tuple[Table, str, str, Entry]] = []
    for users in tables:
        for login, value in users.items():
            user = read_user(users, login, value)
            if user is None:
                continue
            entry, names = user
            aliases += [(users, login, alias, entry) for alias in names]
            if not source.add(login, entry):
                users.wrong(login, "stands a second time; remove one of the two")
    for users, login, alias, entry in aliases:
        if not source.add(alias, entry):
            text = f'"{alias}" already leads to another user; remove one of them'
            users.inner(login, {}).wrong("aliases", text)
