# SPDX-License-Identifier: MIT
"""Makes the database that static/database.py asks, from TOML or lines of JSON, with all checks.

For the command `fingerd-sd compile` only. The new database replaces the old one at once and whole,
or not at all. A service that has the old one open goes on with it.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from fingerd_sd.config.files import read_toml
from fingerd_sd.config.mistakes import ConfigError, Mistake
from fingerd_sd.config.table import Layer, Table
from fingerd_sd.protocol.entry import Entry, Person
from fingerd_sd.sources.static.database import SCHEMA
from fingerd_sd.sources.static.users import MAX_FILE, is_database, read_user

STREAM = Path("standard input")  # what mistakes in lines of JSON call their file
MAX_MISTAKES = 1000  # after so many it stops: nobody mends more at once


def from_toml(file: Path, mistakes: list[Mistake]) -> Iterator[Table]:
    """Yield the users in a TOML file, as one table. Raises ConfigError."""
    try:
        yield Table([Layer(file, read_toml(file, MAX_FILE))], "", mistakes)
    except FileNotFoundError:
        raise ConfigError([Mistake(file, "", "does not exist; check the path")]) from None


def from_lines(lines: Iterable[bytes], mistakes: list[Mistake]) -> Iterator[Table]:
    """Yield a table for each line: an object with one or more users by login, as in TOML."""
    for number, line in enumerate(lines, 1):
        if len(mistakes) >= MAX_MISTAKES:
            return
        try:
            users = json.loads(line.decode("utf-8")) if line.strip() else {}
        except (ValueError, RecursionError) as error:
            mistakes.append(Mistake(STREAM, "", f"line {number}: not JSON: {error}"))
            continue
        if isinstance(users, dict):
            yield Table([Layer(STREAM, users)], "", mistakes)
        else:
            text = 'expected an object such as {"alice": {"name": "Alice Liddell"}}'
            mistakes.append(Mistake(STREAM, "", f"line {number}: {text}"))


def write(tables: Iterator[Table], mistakes: list[Mistake], target: Path) -> int:
    """Write the users of all `tables` into the database `target`; return their number.

    Raises ConfigError with the mistakes, or OSError; then `target` is as it was.
    """
    target = target.resolve()
    mode = None
    if target.exists():
        if target.stat().st_size and not is_database(target):
            text = "exists and is no database: it is left alone; choose another name"
            raise ConfigError([Mistake(target, "", text)])
        mode = target.stat().st_mode & 0o777
    new = target.with_name(f".{target.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        count = _fill(new, tables, mistakes)
        if mistakes:
            raise ConfigError(mistakes)
        if mode is not None:
            new.chmod(mode)
        _sync(new)
        new.replace(target)
        _sync(target.parent)
    finally:
        new.unlink(missing_ok=True)
    return count


def _fill(file: Path, tables: Iterator[Table], mistakes: list[Mistake]) -> int:
    count = 0
    try:
        with closing(sqlite3.connect(file)) as database:
            # If this fails, the file is thrown away: it needs no journal.
            database.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {SCHEMA}")
            for users, login, value in ((t, *item) for t in tables for item in t.items()):
                before = len(mistakes)
                if before >= MAX_MISTAKES:
                    break
                user = read_user(users, login, value)
                if user is not None and len(mistakes) == before:
                    _add(database, users, login, value, *user)
                    count += 1
            database.commit()
    except sqlite3.Error as error:
        raise OSError(f"{file.name}: {error}") from error
    return count


def _add(
    database: sqlite3.Connection,
    users: Table,
    login: str,
    value: object,
    entry: Entry,
    aliases: Iterable[str],
) -> None:
    written = json.dumps(value, ensure_ascii=False)
    if not _is_text(written):
        users.wrong(login, "has half a surrogate pair, which is no character; mend the text")
        return
    if not _insert(database, "users", login, written):
        users.wrong(login, "stands a second time; remove one of the two")
        return
    if not _name(database, login, login):
        users.wrong(login, "is already an alias of another user; remove one of them")
    for alias in aliases:
        if not _name(database, alias, login):
            text = f'"{alias}" already leads to another user; remove one of them'
            users.inner(login, {}).wrong("aliases", text)
    if isinstance(entry, Person) and entry.name:
        for word in {*entry.name.casefold().split()}:
            _insert(database, "words", word, login)


def _name(database: sqlite3.Connection, name: str, login: str) -> bool:
    """Make `name` lead to `login`. False if it leads elsewhere."""
    if _insert(database, "names", name.casefold(), name, login):
        return True
    where = "SELECT login FROM names WHERE folded = ? AND name = ?"
    return bool(database.execute(where, (name.casefold(), name)).fetchone() == (login,))


def _insert(database: sqlite3.Connection, table: str, *values: str) -> bool:
    """Add a row; False if its key is there already."""
    holes = ", ".join("?" * len(values))
    query = f"INSERT OR IGNORE INTO {table} VALUES ({holes})"  # noqa: S608  # a name of ours
    return database.execute(query, values).rowcount > 0


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
