# SPDX-License-Identifier: MIT
"""The store: what is written is read, all of it or nothing, within its bounds."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fingerd_sd.config.publish import PublishKeys
from fingerd_sd.protocol.entry import Link
from fingerd_sd.serving.publishing.wire import Refused, Request, Status
from fingerd_sd.serving.publishing.writing.changing import KEEP_GONE
from fingerd_sd.serving.publishing.writing.embedded import SWEEP_EVERY, Writer
from fingerd_sd.sources.published import news
from fingerd_sd.sources.published.person import links_of
from fingerd_sd.sources.published.store import FILE, Reader

ROOT = Path(__file__).parents[3]
LIMITS = PublishKeys()
ME = Link("me", "https://social.example/@alice")
YOU = Link("author", "mailto:alice@example.org", "text/plain")
PLAN = Request("publish", {"plan": "Curiouser\nand curiouser\n"})


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    writer = Writer(str(tmp_path))
    yield writer
    writer.close()


def reader(tmp_path: Path) -> Reader:
    return Reader(str(tmp_path / FILE), 0.2)


def generation(tmp_path: Path) -> bytes:
    return (tmp_path / news.FILE).read_bytes()


def test_what_is_published_is_read(writer: Writer, tmp_path: Path) -> None:
    stored = writer.publish("alice", 1000, PLAN, LIMITS, 5.0)
    found = reader(tmp_path).person("alice")
    assert found == stored
    assert found is not None
    assert (found.plan, found.first, found.at) == ("Curiouser\nand curiouser\n", "Curiouser", 5.0)
    assert reader(tmp_path).person("bob") is None
    assert reader(tmp_path).count() == 1


def test_what_is_not_named_stays(writer: Writer) -> None:
    writer.publish("alice", 1000, PLAN, LIMITS, 5)
    status = Request("publish", status=Status("on call", 99.0))
    after = writer.publish("alice", 1000, status, LIMITS, 6)
    assert after is not None
    assert (after.plan, after.status, after.until) == (PLAN.texts["plan"], "on call", 99.0)
    after = writer.publish(
        "alice", 1000, Request("publish", unset=frozenset({"status"})), LIMITS, 7
    )
    assert after is not None
    assert (after.status, after.until, after.at) == (None, None, 7)
    assert writer.publish("alice", 1000, Request("p", unset=frozenset({"plan"})), LIMITS, 8) is None
    assert writer.count() == 0


def links(*of: Link) -> Request:
    return Request("publish", links=of)


def test_links_stay_until_they_are_replaced_or_dropped(writer: Writer, tmp_path: Path) -> None:
    writer.publish("alice", 1000, links(ME, YOU), LIMITS, 5)
    found = reader(tmp_path).person("alice")
    assert found is not None
    assert (links_of(found), found.plan) == ((ME, YOU), None)
    writer.publish("alice", 1000, PLAN, LIMITS, 6)
    after = writer.publish("alice", 1000, links(YOU), LIMITS, 7)
    assert after is not None
    assert (links_of(after), after.plan) == ((YOU,), PLAN.texts["plan"])
    after = writer.publish("alice", 1000, Request("p", unset=frozenset({"links"})), LIMITS, 8)
    assert after is not None
    assert (after.links, after.plan) == ("[]", PLAN.texts["plan"])
    assert writer.publish("alice", 1000, Request("p", unset=frozenset({"plan"})), LIMITS, 9) is None


def test_links_count_for_max_size(writer: Writer) -> None:
    size = len("".join(ME))
    limits = LIMITS._replace(max_size=2000)
    fits = Request("publish", {"plan": "x" * (2000 - size)}, links=(ME,))
    writer.publish("alice", 1000, fits, limits, 5)
    with pytest.raises(Refused, match=f"would have {2000 + len(''.join(YOU))} octets") as refused:
        writer.publish("alice", 1000, links(ME, YOU), limits, 6)
    assert refused.value.error == "too_large"


def test_each_change_makes_another_generation(writer: Writer, tmp_path: Path) -> None:
    seen = {generation(tmp_path)}
    writer.publish("alice", 1000, PLAN, LIMITS, 5)
    seen.add(generation(tmp_path))
    writer.remove("alice")
    seen.add(generation(tmp_path))
    writer.close()
    Writer(str(tmp_path)).close()  # the one before may have been killed before it said so
    seen.add(generation(tmp_path))
    assert len(seen) == 4
    assert all(len(one) == 8 for one in seen)


def test_a_login_that_has_a_new_owner_begins_anew(writer: Writer) -> None:
    writer.publish("alice", 1000, PLAN, LIMITS, 5)
    assert writer.person("alice", 1001) is None
    after = writer.publish("alice", 1001, Request("publish", {"key": "k"}), LIMITS, 6)
    assert after is not None
    assert (after.uid, after.plan, after.key) == (1001, None, "k")


def test_a_clock_that_is_set_back_does_not_make_an_entry_older(writer: Writer) -> None:
    writer.publish("alice", 1000, PLAN, LIMITS, 5000)
    after = writer.publish("alice", 1000, PLAN, LIMITS, 10)
    assert after is not None
    assert after.at == 5000


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        (PublishKeys(max_size=20), "too_large"),
        (PublishKeys(max_people=1), "too_many"),
        (PublishKeys(per_hour=1), "too_often"),
    ],
)
def test_what_is_beyond_the_limits_changes_nothing(
    writer: Writer, tmp_path: Path, limits: PublishKeys, error: str
) -> None:
    writer.publish("first", 999, Request("publish", {"plan": "x"}), limits, 5)
    if error == "too_often":
        writer.publish("alice", 1000, Request("publish", {"key": "x"}), limits, 5)
    before = (reader(tmp_path).recent(9), generation(tmp_path))
    with pytest.raises(Refused) as refused:
        writer.publish("alice", 1000, PLAN, limits, 6)
    assert refused.value.error == error
    assert (reader(tmp_path).recent(9), generation(tmp_path)) == before
    if error == "too_often":
        writer.publish("alice", 1000, PLAN, limits, 3700)  # an hour later


def test_recent_ones_come_first(writer: Writer, tmp_path: Path) -> None:
    for login, at in (("a", 3), ("b", 9), ("c", 5), ("d", 4)):
        writer.publish(login, 1000, PLAN, PublishKeys(per_hour=0), at)
    assert [login for login, _ in reader(tmp_path).recent(3)] == ["b", "c", "d"]


def test_an_entry_goes_when_its_account_has_been_gone_for_long(writer: Writer) -> None:
    alice, bob = ("alice", 1000), ("bob", 1001)
    for login, uid in (alice, bob):
        writer.publish(login, uid, PLAN, LIMITS, 5)
    assert writer.to_sweep(10) == [alice, bob]
    assert writer.sweep({bob}, 10) == []
    assert writer.to_sweep(11) == []  # it has been done today
    assert writer.to_sweep(10 + SWEEP_EVERY) != []
    assert writer.sweep(set(), 100_000) == []  # the account is there again
    assert writer.sweep({bob}, 200_000) == []
    assert writer.sweep({bob}, 200_000 + KEEP_GONE) == ["bob"]
    assert writer.count() == 1


def test_an_account_seems_gone_no_longer_when_the_clock_is_set_back(writer: Writer) -> None:
    bob = ("bob", 1001)
    writer.publish(*bob, PLAN, LIMITS, 5)
    assert writer.sweep({bob}, 5e6) == []
    assert writer.to_sweep(1e6) == [bob]  # "today" is in the future now
    assert writer.sweep({bob}, 1e6) == []
    assert writer.sweep({bob}, 1e6 + KEEP_GONE) == ["bob"]


def test_what_the_new_owner_of_a_login_has_published_meanwhile_stays(writer: Writer) -> None:
    old = ("bob", 1001)
    writer.publish(*old, PLAN, LIMITS, 5)
    writer.sweep({old}, 10)
    writer.publish("bob", 1002, PLAN, LIMITS, 10 + KEEP_GONE)
    writer.sweep({old}, 11 + KEEP_GONE)
    assert writer.person("bob", 1002) is not None


def test_to_remove_nothing_writes_nothing(writer: Writer, tmp_path: Path) -> None:
    writer.publish("alice", 1000, PLAN, LIMITS, 5)
    before = generation(tmp_path)
    assert not writer.remove("bob")
    assert generation(tmp_path) == before
    assert writer.remove("alice")
    assert generation(tmp_path) != before


def test_what_is_removed_is_not_left_in_the_file(writer: Writer, tmp_path: Path) -> None:
    secret = "what nobody is to read any more " * 500  # over pages of its own
    writer.publish("alice", 1000, Request("publish", {"plan": secret}), LIMITS, 5)
    assert b"nobody is to read" in (tmp_path / FILE).read_bytes()
    writer.remove("alice")
    assert b"nobody is to read" not in (tmp_path / FILE).read_bytes()
    assert [path.name for path in tmp_path.iterdir() if "journal" in path.name] == []


def test_a_reader_without_a_file_finds_nobody_until_there_is_one(tmp_path: Path) -> None:
    read = reader(tmp_path)
    assert (read.person("alice"), read.recent(9), read.count()) == (None, [], 0)
    writer = Writer(str(tmp_path))
    writer.publish("alice", 1000, PLAN, LIMITS, 5)
    assert read.count() == 1
    (tmp_path / FILE).unlink()
    assert read.count() == 0
    writer.close()


def test_a_file_of_a_later_version_is_left_alone(writer: Writer, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE)) as other:
        other.execute("PRAGMA user_version = 2")
    with pytest.raises(OSError, match="version 2"):
        Writer(str(tmp_path))


# Writes, and dies within a transaction whose pages are already in the file.
_DYING = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from fingerd_sd.serving.publishing.writing.embedded import Writer
writer = Writer(sys.argv[1])
database = writer._database
database.execute("PRAGMA cache_size = 1")
database.execute("BEGIN IMMEDIATE")
for number in range(200):
    database.execute("INSERT INTO person (login, uid, at, plan) VALUES (?, 1, 1.0, ?)",
                     (f"torn{number}", "x" * 4000))
database.execute("UPDATE person SET plan = 'torn' WHERE login = 'alice'")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_keeper_left_half_written_is_never_read(
    writer: Writer, tmp_path: Path
) -> None:
    writer.publish("alice", 1000, PLAN, LIMITS, 5)
    command = [sys.executable, "-c", _DYING, str(tmp_path), str(ROOT)]
    assert subprocess.run(command, check=False, timeout=60).returncode == -signal.SIGKILL
    assert os.path.getsize(f"{tmp_path / FILE}-journal") > 0
    # SQLite rolls back by itself who may write; a reader in a read-only place cannot.
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in (FILE, f"{FILE}-journal"):
        (copy / name).write_bytes((tmp_path / name).read_bytes())
    with pytest.raises(sqlite3.OperationalError):
        reader(copy).person("alice")
    again = Writer(str(copy))
    found = reader(copy).person("alice")
    assert found is not None
    assert found.plan == PLAN.texts["plan"]
    assert reader(copy).count() == 1
    again.close()
