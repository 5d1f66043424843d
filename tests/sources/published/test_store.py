# SPDX-License-Identifier: MIT
"""The store as it is read: whole rows, however it is written meanwhile, and news of each change."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from fingerd_sd.sources.published import news, store
from fingerd_sd.sources.published.news import Generation
from fingerd_sd.sources.published.person import Row
from fingerd_sd.sources.published.store import Reader

from ...helpers.published import NOON, Folder


class Clock:
    """Monotonic seconds that pass when a test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def reader(folder: Folder, patience: float = 30.0) -> Reader:
    return Reader(str(folder.path / store.FILE), patience)


def test_a_user_is_found_in_the_spelling_of_the_login_only(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.publish("alice", plan="Working.\n", status="on call", until=NOON + 60)
    said = reader(folder).person("alice")
    assert said == Row(
        "alice", 1000, NOON, "Working.\n", None, None, "on call", NOON + 60, None, "[]"
    )
    assert reader(folder).person("Alice") is None


def test_where_there_is_no_store_nobody_has_published(tmp_path: Path) -> None:
    reads = Reader(str(tmp_path / store.FILE))
    assert (reads.person("alice"), reads.recent(9), reads.count()) == (None, [], 0)
    (tmp_path / store.FILE).touch()  # the keeper has begun
    assert (reads.person("alice"), reads.recent(9), reads.count()) == (None, [], 0)
    (tmp_path / store.FILE).unlink()
    Folder(tmp_path).publish("alice", plan="Working.\n")
    assert reads.count() == 1


def test_another_store_in_its_place_is_read(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.publish("alice", plan="old")
    reads = reader(folder)
    assert reads.count() == 1
    (tmp_path / store.FILE).rename(tmp_path / "old")
    assert reads.count() == 0
    Folder(tmp_path).publish("alice", plan="new")
    said = reads.person("alice")
    assert said is not None
    assert said.plan == "new"
    reads.close()
    assert reads.count() == 1


def test_the_newest_come_first(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.fill((f"u{number}", {"at": NOON - abs(number - 3)}) for number in range(9))
    assert [login for login, _ in reader(folder).recent(3)][:1] == ["u3"]
    assert reader(folder).recent(1) == [("u3", NOON)]
    assert len(reader(folder).recent(100)) == 9


def test_who_published_last_is_asked_of_the_index_alone(tmp_path: Path) -> None:
    Folder(tmp_path)
    with closing(sqlite3.connect(tmp_path / store.FILE)) as database:
        plan = database.execute(f"EXPLAIN QUERY PLAN {store._RECENT}", (9,)).fetchall()
    assert [step[3] for step in plan] == ["SCAN person USING COVERING INDEX person_at"]


def test_it_waits_while_a_publish_is_put_on_the_disk(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.publish("alice", plan="old")
    reads = reader(folder)
    with closing(sqlite3.connect(tmp_path / store.FILE, isolation_level=None)) as keeper:
        keeper.execute("BEGIN EXCLUSIVE")
        keeper.execute("UPDATE person SET plan = 'new'")
        said: list[Row | None] = []
        thread = threading.Thread(target=lambda: said.append(reads.person("alice")))
        thread.start()
        keeper.execute("COMMIT")
        thread.join()
    assert [row.plan for row in said if row is not None] == ["new"]


KILLED = """
import os, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA cache_size = 2")
database.execute("BEGIN")
database.execute("UPDATE person SET plan = 'torn'")
for number in range(2000):  # more than the cache holds, so that the file itself is changed
    database.execute("INSERT INTO person (login, uid, at, plan) VALUES (?, 1, 1, ?)",
                     (f"x{number}", "torn" * 500))
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_keeper_has_left_is_never_shown(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.publish("alice", plan="old")
    file = tmp_path / store.FILE
    subprocess.run([sys.executable, "-c", KILLED, str(file)], check=False, timeout=60)
    assert (tmp_path / f"{store.FILE}-journal").exists()
    reads = Reader(f"{file}", patience=0.0)
    with pytest.raises(sqlite3.OperationalError):
        reads.person("alice")
    with closing(sqlite3.connect(file)) as keeper:
        keeper.execute("SELECT count(*) FROM person").fetchone()  # the next one mends it
    said = reads.person("alice")
    assert said is not None
    assert (said.plan, reads.count()) == ("old", 1)


def test_a_file_that_is_no_store_is_an_error(tmp_path: Path) -> None:
    (tmp_path / store.FILE).write_bytes(b"no database " * 100)
    with pytest.raises(sqlite3.DatabaseError):
        Reader(str(tmp_path / store.FILE), patience=0.0).person("alice")


def test_threads_share_a_reader(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.fill((f"u{number}", {"plan": str(number)}) for number in range(50))
    reads, wrong = reader(folder), []

    def look() -> None:
        for number in range(50):
            row = reads.person(f"u{number}")
            if row is None or row.plan != str(number):
                wrong.append(row)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# --- the count of changes ---


def told(count: int) -> int:
    """Return `count` as it is read: only whether it is another one matters."""
    return int.from_bytes(count.to_bytes(news.SIZE, "little"), sys.byteorder)


def test_each_change_is_another_count(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    generation = Generation(str(tmp_path / news.FILE))
    counts = {generation.count()}
    for _ in range(300):
        folder.tell()
        counts.add(generation.count())
    assert len(counts) == 301


def test_a_count_that_nobody_has_begun_is_looked_for_now_and_then(tmp_path: Path) -> None:
    clock = Clock()
    generation = Generation(str(tmp_path / news.FILE), clock)
    assert generation.count() == -1
    Folder(tmp_path)
    assert generation.count() == -1
    clock.now += news.LOOK
    assert generation.count() == told(1)


def test_a_look_up_finds_the_count_at_once(tmp_path: Path) -> None:
    generation = Generation(str(tmp_path / news.FILE))
    assert generation.count() == -1
    folder = Folder(tmp_path)
    generation.renew()
    assert generation.count() != -1
    (tmp_path / news.FILE).unlink()
    folder.count = 41
    folder.tell()
    generation.renew()
    assert generation.count() == told(42)


def test_half_a_count_is_none_yet(tmp_path: Path) -> None:
    (tmp_path / news.FILE).write_bytes(b"\1")
    clock = Clock()
    generation = Generation(str(tmp_path / news.FILE), clock)
    assert generation.count() == -1
    (tmp_path / news.FILE).write_bytes(bytes(news.SIZE))
    clock.now += news.LOOK
    assert generation.count() == 0
