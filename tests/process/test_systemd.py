# SPDX-License-Identifier: MIT
"""systemd: passed sockets, notifications, the watchdog."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from fingerd_sd.process.systemd import Notifier, passed_sockets, watchdog_interval

from ..helpers.wire import descriptors_left

ROOT = Path(__file__).parents[2]
PATIENCE = 60  # seconds until a process that does not end fails a test

# What systemd does before it starts a service: descriptors from 3 on, and who is meant by them.
_START = """
import os, sys
for number, fd in enumerate(map(int, sys.argv[1].split()), 3):
    os.dup2(fd, number)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": sys.argv[2]}
if sys.argv[3] != "-":
    os.environ["LISTEN_FDNAMES"] = sys.argv[3]
os.execv(sys.executable, [sys.executable, "-c", sys.argv[4]])
"""
_TELL = """
import os
from fingerd_sd.process.systemd import ActivationError, passed_sockets
try:
    for passed in passed_sockets(os.environ):
        print(passed.name, passed.socket.fileno(), passed.socket.getsockname()[1], sep="|")
except ActivationError as error:
    print(error)
"""


def _activate(sockets: Sequence[socket.socket], names: str = "-", count: int = -1) -> list[str]:
    """Return what a process says that `sockets` are passed to."""
    # Away from 3, where they will be put one after the other.
    copies = [os.open("/dev/null", os.O_RDONLY) for _ in range(8)]
    high = [os.dup(sock.fileno()) for sock in sockets]
    try:
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                _START,
                " ".join(map(str, high)),
                str(len(sockets) if count < 0 else count),
                names,
                _TELL,
            ],
            cwd=ROOT,
            pass_fds=high,
            check=True,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    finally:
        for fd in (*copies, *high):
            os.close(fd)
    return done.stdout.splitlines()


def _listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def _port(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


def test_sockets_are_known_by_the_name_of_their_descriptor() -> None:
    with _listener() as one, _listener() as two:
        assert _activate([one, two], "finger:web") == [
            f"finger|3|{_port(one)}",
            f"web|4|{_port(two)}",
        ]


@pytest.mark.parametrize("name", ["-", "", "unknown", "finger.socket"])
def test_a_socket_without_a_name_of_its_own_has_none(name: str) -> None:
    with _listener() as one:
        assert _activate([one], name) == [f"|3|{_port(one)}"]


def test_a_socket_of_a_unit_with_accept_is_an_error() -> None:
    with _listener() as listener, socket.create_connection(listener.getsockname()) as connection:
        [error] = _activate([connection], "connection")
    assert "Accept=no" in error


@pytest.mark.parametrize("kind", ["datagram", "not listening"])
def test_a_socket_that_does_not_listen_is_an_error(kind: str) -> None:
    kinds = {"datagram": socket.SOCK_DGRAM, "not listening": socket.SOCK_STREAM}
    with socket.socket(socket.AF_INET, kinds[kind]) as sock:
        [error] = _activate([sock], "finger")
    assert 'descriptor 3, "finger", is no listening stream socket' in error


def test_names_that_do_not_fit_the_sockets_are_an_error() -> None:
    with _listener() as one:
        [error] = _activate([one], "finger:web")
    assert "LISTEN_FDNAMES" in error


def test_no_socket_was_passed_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for environment in (
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getppid())},
        {"LISTEN_FDS": "1", "LISTEN_PID": ""},
    ):
        assert passed_sockets(environment) == []


def test_a_missing_python_module_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "systemd", None)
    with pytest.raises(Exception, match="python3-systemd"):
        passed_sockets({"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())})


# --- notifications ---


def test_what_is_told_goes_in_one_message(tmp_path: Path) -> None:
    with _notifier(tmp_path) as (systemd, notifier):
        assert notifier.heard
        notifier.tell("RELOADING=1", "MONOTONIC_USEC=5")
        notifier.tell("READY=1")
        assert _all_told(systemd) == [b"RELOADING=1\nMONOTONIC_USEC=5", b"READY=1"]


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}])
def test_nobody_is_told_without_systemd(environment: dict[str, str]) -> None:
    notifier = Notifier(environment)
    assert not notifier.heard
    notifier.tell("READY=1")


def test_an_abstract_address_is_known_by_its_sign() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("")  # the kernel chooses an abstract one: unix(7)
        systemd.settimeout(20)
        name = systemd.getsockname()
        assert name.startswith(b"\0")
        with closing(Notifier({"NOTIFY_SOCKET": f"@{name[1:].decode()}"})) as notifier:
            notifier.tell("READY=1")
        assert systemd.recv(4096) == b"READY=1"


@contextmanager
def _notifier(folder: Path, listens: bool = True) -> Iterator[tuple[socket.socket, Notifier]]:
    """Yield what systemd hears by, and a notifier that tells it; it is at `folder`/notify once it
    listens.
    """
    path = str(folder / "notify")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
        closing(Notifier({"NOTIFY_SOCKET": path})) as notifier,
    ):
        if listens:
            systemd.bind(path)
        yield systemd, notifier


def _fill(notifier: Notifier) -> None:
    """Tell more than the queue of a socket that nobody reads takes: unix(7), max_dgram_qlen."""
    places = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
    for _ in range(places + 10):
        notifier.tell("WATCHDOG=1")


def _all_told(systemd: socket.socket) -> list[bytes]:
    told = []
    systemd.setblocking(False)
    try:
        while True:
            told.append(systemd.recv(4096))
    except BlockingIOError:
        return told


def test_a_systemd_that_does_not_read_is_not_waited_for_and_misses_no_change_of_state(
    tmp_path: Path,
) -> None:
    with _notifier(tmp_path) as (systemd, notifier):
        _fill(notifier)
        notifier.tell("RELOADING=1", "MONOTONIC_USEC=5")
        assert not notifier.tell("STATUS=busy")
        assert not notifier.tell("READY=1", "STATUS=done")
        assert set(_all_told(systemd)) == {b"WATCHDOG=1"}
        notifier.tell("WATCHDOG=1")
        assert _all_told(systemd) == [
            b"RELOADING=1\nMONOTONIC_USEC=5",
            b"READY=1\nSTATUS=done",
            b"WATCHDOG=1",
        ]


def test_what_can_never_be_sent_stops_nothing_that_comes_after(tmp_path: Path) -> None:
    with _notifier(tmp_path) as (systemd, notifier):
        assert notifier.tell("READY=1", f"STATUS={'x' * (1 << 22)}")
        assert notifier.tell("WATCHDOG=1")
        assert _all_told(systemd) == [b"WATCHDOG=1"]


def test_it_needs_no_descriptor_to_tell(tmp_path: Path) -> None:
    """Else the watchdog would end who has too many clients."""
    with _notifier(tmp_path) as (systemd, notifier):
        with descriptors_left():
            notifier.tell("WATCHDOG=1")
        assert _all_told(systemd) == [b"WATCHDOG=1"]


def test_a_systemd_that_is_gone_is_told_when_it_is_back(tmp_path: Path) -> None:
    with _notifier(tmp_path, listens=False) as (systemd, notifier):
        notifier.tell("READY=1")
        notifier.tell("WATCHDOG=1")
        systemd.bind(str(tmp_path / "notify"))
        notifier.tell("WATCHDOG=1")
        assert _all_told(systemd) == [b"READY=1", b"WATCHDOG=1"]


# --- the watchdog ---

_OURS = str(os.getpid())


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "20000000"}, 10.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": _OURS}, 10.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": ""}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": ""}, None),
        ({"WATCHDOG_PID": _OURS}, None),
    ],
)
def test_the_watchdog_is_fed_twice_in_its_time(
    environment: dict[str, str], seconds: float | None
) -> None:
    assert watchdog_interval(environment) == seconds
