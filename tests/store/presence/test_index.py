# SPDX-License-Identifier: MIT
"""Who is logged in where, as hosts come, change and go."""

from __future__ import annotations

import gc

import pytest

from fingerd_sd.store.presence import index as module
from fingerd_sd.store.presence.index import Index
from fingerd_sd.store.presence.told import Told, octets_of

ALICE = Told("alice", 1000, 1_790_000_000.0, "pts/0", "203.0.113.7", 1_790_000_000.0, True)
BOB = Told("bob", 1001, 1_790_000_000.0, "tty2")


def put(index: Index, host: str, *sessions: Told) -> None:
    index.put(host, octets_of(sessions), sessions)


def at(index: Index, host: str) -> set[str] | None:
    users = index.at(host)
    return None if users is None else set(users)


def of(index: Index, user: str) -> list[tuple[str, Told]]:
    return index.of(user, 1000 if user == "alice" else 1001, 9)[1]


def test_a_user_is_where_the_hosts_say() -> None:
    index = Index()
    put(index, "one", ALICE, BOB, ALICE._replace(tty="pts/1"))
    put(index, "two", ALICE)
    put(index, "three")
    assert [(host, told.tty) for host, told in of(index, "alice")] == [
        *(("one", "pts/0"), ("one", "pts/1"), ("two", "pts/0"))
    ]
    assert at(index, "one") == {"alice", "bob"}
    assert at(index, "three") == set()
    assert at(index, "four") is None
    assert set(index.hosts) == {"one", "two", "three"}


def test_what_a_host_tells_takes_the_place_of_what_it_told() -> None:
    index = Index()
    put(index, "one", ALICE, BOB)
    put(index, "two", ALICE)
    put(index, "one", BOB._replace(tty="tty3"))
    assert [host for host, _ in of(index, "alice")] == ["two"]
    assert [told.tty for _, told in of(index, "bob")] == ["tty3"]
    index.drop("one")
    index.drop("one")
    assert set(index.users) == {"alice"}
    index.drop("two")
    assert not index.users
    assert not index.hosts


def test_what_has_not_changed_is_known() -> None:
    index = Index()
    put(index, "one", ALICE)
    assert index.has("one", octets_of([ALICE]))
    assert not index.has("one", octets_of([BOB]))
    assert not index.has("two", octets_of([ALICE]))
    index.drop("one")
    assert not index.has("one", octets_of([ALICE]))


def test_what_is_too_much_is_left_out_until_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ALL", 3)
    index = Index()
    put(index, "one", ALICE, BOB)
    put(index, "two", ALICE)
    assert not index.cut
    put(index, "three", BOB, ALICE)
    put(index, "two", ALICE, BOB)
    assert index.cut
    assert [host for host, _ in of(index, "bob")] == ["one"]
    assert at(index, "three") == set()
    assert not index.has("three", octets_of([BOB, ALICE]))  # so it is read again
    index.drop("one")
    put(index, "three", BOB, ALICE)
    assert at(index, "three") == {"bob", "alice"}


def test_hosts_beyond_all_measure_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_HOSTS", 2)
    index = Index()
    for host in ("one", "two", "three"):
        put(index, host, ALICE)
    assert index.cut
    assert set(index.hosts) == {"one", "two"}
    put(index, "two", BOB)
    assert at(index, "two") == {"bob"}


def test_sessions_are_no_work_for_the_garbage_collector() -> None:
    index = Index()
    put(index, "one", *(ALICE._replace(tty=f"pts/{number}") for number in range(50)))
    gc.collect()
    assert not any(gc.is_tracked(row) for row in index._hosts["one"]["alice"])
