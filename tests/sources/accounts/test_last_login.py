# SPDX-License-Identifier: MIT
"""The last login, from real lastlog, wtmp and SQLite files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from fingerd_sd.protocol.entry import Login
from fingerd_sd.sources.accounts.last_login import Records, last_login
from fingerd_sd.sources.accounts.sessions import utmp as records_of_logins
from fingerd_sd.sources.accounts.sessions.moment import moment

from ...helpers.records import DEAD_PROCESS, NOW, lastlog, utmp, write_lastlog

UID = 1042
HOUR = 3600

# As wtmpdb and lastlog2 make them.
WTMPDB = """CREATE TABLE wtmp(ID INTEGER PRIMARY KEY, Type INTEGER, User TEXT NOT NULL,
 Login INTEGER, Logout INTEGER, TTY TEXT, RemoteHost TEXT, Service TEXT) STRICT"""
LASTLOG2 = """CREATE TABLE Lastlog2(Name TEXT PRIMARY KEY, Time INTEGER, TTY TEXT,
 RemoteHost TEXT, Service TEXT)"""


@pytest.fixture
def records(tmp_path: Path) -> Records:
    """Where nothing is yet."""
    return Records(
        (tmp_path / "wtmp.db",), tmp_path / "lastlog2.db", tmp_path / "lastlog", tmp_path / "wtmp"
    )


@contextmanager
def database(path: Path, schema: str) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(schema)
        yield connection


def write_wtmpdb(path: Path, *rows: tuple[object, ...]) -> None:
    """Make a wtmpdb of `rows`: type, user, seconds, terminal, host."""
    with database(path, WTMPDB) as connection:
        for kind, user, at, tty, host in rows:
            assert isinstance(at, int)
            connection.execute(
                "INSERT INTO wtmp(Type, User, Login, TTY, RemoteHost) VALUES (?, ?, ?, ?, ?)",
                (kind, user, at * 1_000_000, tty, host),
            )


def login(seconds: int, tty: str | None = None, host: str | None = None) -> Login:
    at = moment(seconds)
    assert at is not None
    return Login(at, tty, host)


def test_lastlog_tells_it(records: Records) -> None:
    entries = {UID - 1: lastlog(1, "no", "no"), UID: lastlog(NOW, "pts/4", "host")}
    write_lastlog(Path(records.lastlog), entries)
    assert last_login(UID, "alice", records) == (
        login(NOW, "pts/4", "host"),
        str(Path(records.lastlog)),
    )


@pytest.mark.parametrize("uid", [UID + 1, UID - 1, 60000, 2**32 - 2])
def test_who_is_not_in_lastlog_is_not_known(records: Records, uid: int) -> None:
    write_lastlog(Path(records.lastlog), {UID: lastlog(NOW, "pts/4")})
    assert last_login(uid, "alice", records) == (None, f"{Path(records.lastlog)} has none")


def test_wtmp_tells_the_last_of_many(records: Records) -> None:
    others = [utmp(f"user{number}", "pts/1", NOW + number) for number in range(1000)]
    Path(records.wtmp).write_bytes(
        utmp("alice", "pts/0", NOW - HOUR)
        + utmp("alice", "pts/7", NOW, "203.0.113.7")
        + b"".join(others)
        + utmp("alice", "pts/7", NOW + 9, kind=DEAD_PROCESS)
        + b"piece"
    )
    assert last_login(UID, "alice", records)[0] == login(NOW, "pts/7", "203.0.113.7")


def test_wtmp_is_not_read_without_end(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records_of_logins, "MAX_WTMP", 100 * records_of_logins.RECORD.size)
    others = b"".join(utmp("bob", "pts/1", NOW) for _ in range(100))
    Path(records.wtmp).write_bytes(utmp("alice", "pts/0", NOW) + others)
    assert last_login(UID, "alice", records)[0] is None
    assert last_login(UID, "bob", records)[0] is not None


def test_wtmpdb_tells_it(records: Records) -> None:
    write_wtmpdb(
        Path(records.wtmpdb[0]),
        (3, "alice", NOW - HOUR, "pts/1", "old"),
        (3, "alice", NOW, "pts/2", "2001:db8::7"),
        (3, "bob", NOW + HOUR, "pts/3", "bob's"),
        (1, "alice", NOW + HOUR, "~", ""),  # a boot, whatever it is called
    )
    assert last_login(UID, "alice", records) == (
        login(NOW, "pts/2", "2001:db8::7"),
        str(Path(records.wtmpdb[0])),
    )
    assert last_login(UID, "nobody", records)[0] is None


def test_lastlog2_tells_it(records: Records) -> None:
    with database(Path(records.lastlog2), LASTLOG2) as connection:
        connection.execute("INSERT INTO Lastlog2 VALUES ('alice', ?, 'tty2', NULL, 'login')", [NOW])
        connection.execute("INSERT INTO Lastlog2 VALUES ('bob', 0, NULL, NULL, NULL)")
    assert last_login(UID, "alice", records) == (login(NOW, "tty2"), str(Path(records.lastlog2)))
    assert last_login(UID, "bob", records)[0] is None


def test_of_several_records_the_newest_counts(records: Records) -> None:
    write_lastlog(Path(records.lastlog), {UID: lastlog(NOW - HOUR, "pts/1")})
    Path(records.wtmp).write_bytes(utmp("alice", "pts/2", NOW))
    write_wtmpdb(Path(records.wtmpdb[0]), (3, "alice", NOW - 2 * HOUR, "pts/3", ""))
    assert last_login(UID, "alice", records) == (login(NOW, "pts/2"), str(Path(records.wtmp)))


def test_without_any_record_nothing_is_known(records: Records) -> None:
    assert last_login(UID, "alice", records) == (None, "this machine keeps no record of logins")


def test_a_database_that_is_none_is_passed_over(records: Records) -> None:
    Path(records.wtmpdb[0]).write_bytes(b"no database" * 1000)
    Path(records.lastlog2).mkdir()
    Path(records.lastlog).write_bytes(b"short")
    Path(records.wtmp).write_bytes(utmp("alice", "pts/2", NOW))
    assert last_login(UID, "alice", records)[0] == login(NOW, "pts/2")


def test_a_database_of_another_shape_is_passed_over(records: Records) -> None:
    with database(Path(records.wtmpdb[0]), "CREATE TABLE other(x)"):
        pass
    found, why = last_login(UID, "alice", records)
    assert found is None
    assert "no such table: wtmp" in why


def test_a_name_is_never_part_of_a_question_to_a_database(records: Records) -> None:
    write_wtmpdb(Path(records.wtmpdb[0]), (3, "alice", NOW, "pts/2", ""))
    for name in ("' OR '1'='1", "alice'--", "%", "_____", "a*"):
        assert last_login(UID, name, records)[0] is None


def test_a_database_that_is_locked_is_passed_over(records: Records) -> None:
    write_wtmpdb(Path(records.wtmpdb[0]), (3, "alice", NOW, "pts/2", ""))
    with closing(sqlite3.connect(Path(records.wtmpdb[0]))) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        found, why = last_login(UID, "alice", records)
    assert found is None
    assert "locked" in why


def test_what_somebody_wrote_into_a_record_is_bounded_and_no_error(records: Records) -> None:
    write_wtmpdb(
        Path(records.wtmpdb[0]),
        (3, "alice", NOW, "t" * (1 << 20), "\x1b[31m" + "h" * (1 << 20)),
        (3, "far", 2**40, "", ""),
    )
    with database(Path(records.lastlog2), LASTLOG2) as connection:
        connection.execute("INSERT INTO Lastlog2 VALUES ('far', 9e18, x'ff1b', 7, '')")
    found, _ = last_login(UID, "alice", records)
    assert found is not None
    assert len(found.tty or "") == len(found.host or "") == 256
    assert last_login(UID, "far", records)[0] is None
