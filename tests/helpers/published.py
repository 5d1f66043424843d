# SPDX-License-Identifier: MIT
"""A store of what users have published, written as the keeper writes it, and accounts for them."""

from __future__ import annotations

import pwd
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fingerd_sd.sources.published import news, store

NOON = 1_795_608_000.0  # seconds since the epoch
COLUMNS = ("uid", "at", "plan", "project", "key", "status", "until", "links")


class Folder:
    """The keeper's folder at `path`. `counts`: whether it tells news."""

    def __init__(self, path: Path, counts: bool = True) -> None:
        self.path = path
        self.count = 0
        with closing(sqlite3.connect(path / store.FILE)) as database:
            database.executescript(store.SCHEMA)
        if counts:
            self.tell()

    def publish(self, login: str, **columns: str | float | None) -> None:
        """Store what `login` publishes, in place of what was there; `columns`: see SCHEMA."""
        self.fill([(login, columns)])

    def fill(self, people: Iterable[tuple[str, dict[str, str | float | None]]]) -> None:
        """Store what many publish at once."""
        rows = ((login, *_values(columns)) for login, columns in people)
        holes = ", ".join("?" * (1 + len(COLUMNS)))
        names = ", ".join(("login", *COLUMNS))
        with closing(sqlite3.connect(self.path / store.FILE)) as database, database:
            database.executemany(f"REPLACE INTO person ({names}) VALUES ({holes})", rows)
        self.tell()

    def remove(self, login: str) -> None:
        """Remove what `login` has published."""
        with closing(sqlite3.connect(self.path / store.FILE)) as database, database:
            database.execute("DELETE FROM person WHERE login = ?", (login,))
        self.tell()

    def tell(self) -> None:
        """Count a change."""
        self.count += 1
        file = self.path / news.FILE
        with file.open("r+b" if file.exists() else "wb") as stream:
            stream.write(self.count.to_bytes(news.SIZE, "little"))


def _values(columns: dict[str, str | float | None]) -> list[str | float | None]:
    told: dict[str, str | float | None] = {"uid": 1000, "at": NOON, "links": "[]", **columns}
    return [told.get(name) for name in COLUMNS]


def account(login: str, uid: int = 1000, gecos: str = "") -> pwd.struct_passwd:
    """Return an account whose home cannot be reached."""
    return pwd.struct_passwd((login, "x", uid, uid, gecos, "/nonexistent", "/bin/sh"))


@pytest.fixture(autouse=True)
def closed_afterwards(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have every store that a test opens closed after it: Python 3.13 warns of others."""
    opened = []

    class Connection(sqlite3.Connection):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            opened.append(self)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", partial(connect, factory=Connection))
    yield
    for connection in opened:
        connection.close()
