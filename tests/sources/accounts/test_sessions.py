# SPDX-License-Identifier: MIT
"""Who is logged in: from a logind on a real bus, from real utmp records, from real terminals."""

from __future__ import annotations

import gc
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest

from fingerd_sd.process.systemd import LoginMonitor
from fingerd_sd.sources.accounts.sessions import logind as client
from fingerd_sd.sources.accounts.sessions.listing import (
    BACK_OFF,
    KEPT,
    KEPT_UNTOLD,
    Reader,
    Sessions,
    complete,
)
from fingerd_sd.sources.accounts.sessions.logind import LoggedIn, logged_in

from ...helpers.logind import Bus, Logind, bus, session
from ...helpers.records import DEAD_PROCESS, NOW, utmp

USEC = 1_000_000
PATIENCE = 20.0  # seconds
NO_TERMINALS = ["../etc/passwd", "/etc/passwd", "pts/../../etc/passwd", "null/", "no", "shm",
                "a\0b", "", "x" * (1 << 20), "\x1b[31m", None]  # fmt: skip

# dbus-fast leaves the socket of a connection that it could not make to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is asked here answers; but for a machine that is busy, not in so short a time."""
    monkeypatch.setattr(client, "TIMEOUT", PATIENCE)
    monkeypatch.setattr("fingerd_sd.sources.accounts.sessions.listing.TIMEOUT", PATIENCE)


@pytest.fixture
def a_bus(tmp_path: Path) -> Iterator[Bus]:
    with bus(tmp_path) as running:
        yield running


# --- logind ---


def test_logind_tells_who_is_on_which_terminal_from_where_since_when(a_bus: Bus) -> None:
    sessions = {
        "1": session("alice", TTY="pts/0", RemoteHost="203.0.113.7", Timestamp=NOW * USEC),
        "2": session("bob", TTY="tty2", IdleSinceHint=(NOW - 60) * USEC, IdleHint=True),
    }
    with Logind(sessions).on(a_bus.address):
        assert logged_in(a_bus.address) == [
            LoggedIn("alice", NOW, "pts/0", "203.0.113.7", uid=1000),
            LoggedIn("bob", 1_790_000_000, "tty2", None, NOW - 60, uid=1000),
        ]


def test_an_ssh_session_of_debian_13_has_no_terminal_and_no_idle_time(a_bus: Bus) -> None:
    ssh = session("alice", RemoteHost="2001:db8::7", Service="sshd")
    with Logind({"3": ssh}).on(a_bus.address):
        assert logged_in(a_bus.address) == [
            LoggedIn("alice", 1_790_000_000, None, "2001:db8::7", uid=1000)
        ]


@pytest.mark.parametrize(
    "properties",
    [
        {"Class": "manager"},
        {"Class": "manager-early"},
        {"Class": "greeter"},
        {"Class": "lock-screen"},
        {"Class": "background"},
        {"Class": "none"},
        {"Class": "user-incomplete"},
        {"State": "closing"},
        {"gone": True},
    ],
)
def test_what_is_no_person_s_session_is_left_out(a_bus: Bus, properties: dict[str, object]) -> None:
    sessions = {"1": session("alice", **properties), "2": session("bob")}
    with Logind(sessions).on(a_bus.address):
        assert [one.user for one in logged_in(a_bus.address)] == ["bob"]


@pytest.mark.parametrize(
    ("properties", "idle"),
    [
        ({"Type": "wayland"}, 0),
        ({"Type": "x11", "IdleHint": True, "IdleSinceHint": (NOW - 90) * USEC}, 90),
        ({"Type": "tty"}, None),
        ({"Type": "tty", "IdleSinceHint": (NOW - 90) * USEC}, 90),
        ({"Type": "tty", "IdleSinceHint": (NOW + 90) * USEC}, 0),
    ],
)
def test_how_long_a_session_is_idle(
    a_bus: Bus, tmp_path: Path, properties: dict[str, object], idle: float | None
) -> None:
    with Logind({"1": session("alice", **properties)}).on(a_bus.address):
        (told,) = complete(logged_in(a_bus.address), NOW, tmp_path)
    assert told.idle == idle


@pytest.mark.parametrize("mode", ["silent", "error", "odd"])
def test_a_logind_that_does_not_answer_is_an_error(
    a_bus: Bus, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "TIMEOUT", 0.05)
    with Logind(mode=mode).on(a_bus.address), pytest.raises(OSError, match=r"."):
        logged_in(a_bus.address)


def test_a_bus_without_logind_is_an_error(a_bus: Bus) -> None:
    with pytest.raises(OSError, match="login1"):
        logged_in(a_bus.address)


def test_a_bus_that_hangs_is_an_error(a_bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "TIMEOUT", 0.05)
    a_bus.freeze()
    with pytest.raises(OSError, match="no answer in time"):
        logged_in(a_bus.address)


def test_no_bus_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        logged_in(f"unix:path={tmp_path}/none")


# --- utmp ---


def test_utmp_answers_where_there_is_no_logind(tmp_path: Path) -> None:
    path = tmp_path / "utmp"
    path.write_bytes(
        utmp("alice", "pts/0", NOW, "203.0.113.7")
        + utmp("gone", "pts/1", NOW, kind=DEAD_PROCESS)
        + utmp("", "pts/2", NOW)
        + utmp(b"x" * 32, "tty1", NOW, b"\xffh" * 128)
        + b"a piece of one"
    )
    seen, origin = Reader(f"unix:path={tmp_path}/none", path)()
    assert origin == str(path)
    assert seen[0] == LoggedIn("alice", NOW, "pts/0", "203.0.113.7")
    assert [one.user for one in seen] == ["alice", "x" * 32]
    assert seen[1].host == "ÿh" * 128


def test_logind_that_hangs_is_not_waited_for_again_at_once(
    a_bus: Bus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    asked = []

    def ask(address: str) -> list[LoggedIn]:
        asked.append(address)
        return logged_in(address)

    monkeypatch.setattr(client, "logged_in", ask)
    path = tmp_path / "utmp"
    path.write_bytes(utmp("alice", "pts/0", NOW))
    reader = Reader(a_bus.address, path, lambda: now[0])
    with Logind(mode="silent").on(a_bus.address) as logind:
        with monkeypatch.context() as impatient:
            impatient.setattr(client, "TIMEOUT", 0.05)
            assert reader()[1] == str(path)
        assert reader()[1] == str(path)
        assert len(asked) == 1
        now[0] = BACK_OFF
        logind.mode = ""
        assert reader() == ([], "logind")


def test_neither_is_an_error_that_names_both(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"logind: .*; .*utmp: No such file"):
        Reader(f"unix:path={tmp_path}/none", tmp_path / "utmp")()


# --- terminals ---


@pytest.fixture
def terminal() -> Iterator[str]:
    """The name of a real terminal."""
    ours, theirs = os.openpty()
    yield os.ttyname(theirs).removeprefix("/dev/")
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize(("mode", "messages"), [(0o620, True), (0o600, False), (0o602, False)])
def test_a_terminal_tells_its_idle_time_and_whether_messages_are_on(
    terminal: str, mode: int, messages: bool
) -> None:
    os.chmod(f"/dev/{terminal}", mode)
    os.utime(f"/dev/{terminal}", (NOW - 1590, NOW))
    (told,) = complete([LoggedIn("alice", NOW, terminal, active=NOW)], NOW)
    assert (told.idle, told.messages, told.tty) == (1590, messages, terminal)


@pytest.mark.parametrize("tty", NO_TERMINALS)
def test_what_is_no_terminal_tells_nothing(tty: str | None) -> None:
    (told,) = complete([LoggedIn("alice", NOW, tty)], NOW)
    assert (told.idle, told.messages) == (None, None)


def test_a_link_among_the_terminals_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "pts").mkdir()
    (tmp_path / "pts/0").symlink_to("/dev/null")
    (told,) = complete([LoggedIn("alice", NOW, "pts/0")], NOW, tmp_path)
    assert told.idle is None
    assert stat.S_ISCHR(os.stat(tmp_path / "pts/0").st_mode)


def test_a_display_takes_no_messages() -> None:
    (told,) = complete([LoggedIn("alice", NOW, ":0")], NOW)
    assert (told.idle, told.messages) == (None, False)


def test_sessions_are_told_the_oldest_first_and_impossible_ones_not_at_all() -> None:
    seen = [LoggedIn("a", 200, "z"), LoggedIn("a", 100), LoggedIn("a", 1e30), LoggedIn("a", 200)]
    told = complete(seen, NOW)
    assert [(one.since.timestamp(), one.tty) for one in told] == [
        (100, None),
        (200, None),
        (200, "z"),
    ]


# --- what is kept ---


class Monitor:
    """Tells of a change where `happened` says so."""

    happened = False

    def changed(self) -> bool:
        happened, self.happened = self.happened, False
        return happened


class House:
    """Sessions, told by `says`, at a time of ours."""

    def __init__(self, origin: str = "logind") -> None:
        self.now = 0.0
        self.read = 0
        self.says: list[LoggedIn] | Exception = [LoggedIn("alice", NOW)]
        self.origin = origin
        self.monitor = Monitor()
        self.began, self.may_read = threading.Event(), threading.Event()
        self.may_read.set()
        self.sessions = Sessions(
            self._read,
            cast("Callable[[], LoginMonitor]", lambda: self.monitor),
            clock=lambda: self.now,
            wall=lambda: NOW,
        )

    def _read(self) -> tuple[Sequence[LoggedIn], str]:
        self.read += 1
        self.began.set()
        assert self.may_read.wait(PATIENCE)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says, self.origin

    def who(self, after: float = 0) -> list[str] | None:
        self.now += after
        return self.sessions.who()


def test_a_list_is_kept_until_somebody_logs_in_or_out() -> None:
    house = House()
    assert house.who() == house.who(KEPT - 1) == ["alice"]
    assert house.read == 1
    house.says = [LoggedIn("bob", NOW)]
    house.monitor.happened = True
    assert house.who() == ["bob"]
    house.who(KEPT)
    assert house.read == 3


def test_a_list_is_kept_shortly_where_nobody_tells_of_changes() -> None:
    house = House("/run/utmp")
    house.who()
    house.who(KEPT_UNTOLD / 2)
    assert house.read == 1
    house.who(KEPT_UNTOLD / 2)
    assert house.read == 2


def test_nobody_is_asked_again_at_once_after_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    house = House()
    house.says = OSError("no logind, no utmp")
    assert house.who() is None
    assert house.sessions.of("alice") == (None, "no logind, no utmp")
    assert house.read == 1
    assert house.who(BACK_OFF) is None
    house.says = []
    assert house.who(BACK_OFF) == []
    assert house.sessions.of("alice") == ((), "logind: not logged in")
    assert len(caplog.records) == 1  # not one for each query
    assert "no logind, no utmp" in caplog.text


def test_a_list_that_comes_late_ends_the_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fingerd_sd.sources.accounts.sessions.listing.TIMEOUT", 0.01)
    house = House()
    house.may_read.clear()
    assert house.who() is None
    reading = house.sessions._reading
    assert reading is not None
    house.may_read.set()
    reading.result(PATIENCE)
    assert house.who() == ["alice"]


def test_those_who_ask_at_once_share_one_list() -> None:
    house = House()
    house.may_read.clear()
    with ThreadPoolExecutor(20) as asking:
        told = [asking.submit(house.sessions.of, "alice") for _ in range(20)]
        house.may_read.set()
    assert house.read == 1
    (session,) = complete([LoggedIn("alice", NOW)], NOW)
    assert {future.result()[0] for future in told} == {(session,)}


def test_a_list_that_was_read_while_somebody_came_is_not_kept() -> None:
    house = House()
    house.may_read.clear()
    with ThreadPoolExecutor(2) as asking:
        first = asking.submit(house.sessions.who)
        assert house.began.wait(PATIENCE)
        house.monitor.happened = True
        second = asking.submit(house.sessions.who)
        while house.monitor.happened:
            time.sleep(0.001)
        house.may_read.set()
        assert first.result() == second.result() == ["alice"]
    house.says = [LoggedIn("bob", NOW)]
    assert house.who() == ["bob"]


def test_a_list_that_hangs_costs_one_thread_and_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fingerd_sd.sources.accounts.sessions.listing.TIMEOUT", 0.01)
    release = threading.Event()
    calls: list[None] = []
    began = threading.Event()

    def hang() -> tuple[Sequence[LoggedIn], str]:
        calls.append(None)
        began.set()
        release.wait(20)
        return [], "logind"

    now = [0.0]
    sessions = Sessions(hang, clock=lambda: now[0])
    try:
        for _ in range(5):
            assert sessions.of("alice") == (None, "neither logind nor utmp answers in time")
            now[0] += BACK_OFF
        assert began.wait(PATIENCE)
        assert len(calls) == 1
    finally:
        release.set()
