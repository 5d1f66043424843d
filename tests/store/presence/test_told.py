# SPDX-License-Identifier: MIT
"""What a host tells of its sessions: written, and read as little trusted as a file."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fingerd_sd.store.presence.told import (
    HOST,
    MAX_OCTETS,
    MAX_SESSIONS,
    Told,
    octets_of,
    sessions_in,
)

ALICE = Told("alice", 1000, 1_790_000_000.25, "pts/0", "203.0.113.7", 1_790_000_100.0, True)
BOB = Told("bob", 1001, 5)


def test_what_was_written_is_read() -> None:
    assert sessions_in(octets_of([ALICE, BOB])) == (ALICE, BOB)
    assert sessions_in(octets_of([])) == ()


def test_what_is_too_much_is_cut() -> None:
    assert len(sessions_in(octets_of([BOB] * (MAX_SESSIONS + 1)))) == MAX_SESSIONS
    long = ALICE._replace(user="é" * 256, tty="é" * 256, host="é" * 256)
    octets = octets_of([long] * MAX_SESSIONS)
    assert len(octets) <= MAX_OCTETS
    assert set(sessions_in(octets)) == {long}


@pytest.mark.parametrize(
    "change",
    [
        {"user": ""},
        {"user": 7},
        {"user": "a\nb"},
        {"user": "\x1b[2J"},
        {"user": "\u202ea"},
        {"user": "\ud800"},
        {"user": "a" * 257},
        {"uid": -1},
        {"uid": 2**32},
        {"uid": "0"},
        {"uid": True},
        {"uid": 1.0},
        {"since": "now"},
        {"since": float("nan")},
        {"since": float("inf")},
        {"since": None},
        {"since": 1e12},
        {"tty": "pts/0\r\n"},
        {"tty": []},
        {"host": "a" * 257},
        {"host": ""},
        {"active": False},
        {"active": -1},
        {"messages": 1},
    ],
)
def test_a_session_that_no_host_of_ours_tells_is_left_out(change: dict[str, Any]) -> None:
    octets = json.dumps([ALICE._replace(**change), BOB]).encode()
    assert sessions_in(octets) == (BOB,)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"{}",
        b"7",
        b"[",
        b"\xff",
        b"[" * 100_000,
        b"[[]]",
        b"[7, null]",
        b'[["alice", 1000]]',
        b" " * MAX_OCTETS + b"[]",
        b"1" * 5000,
    ],
)
def test_what_is_no_list_of_sessions_is_none(octets: bytes) -> None:
    assert sessions_in(octets) == ()


@pytest.mark.parametrize("name", ["", "a" * 64, "a b", "a.b", "-a", "a\n", "ä", "a\0"])
def test_what_no_host_is_called(name: str) -> None:
    assert not HOST.fullmatch(name)
