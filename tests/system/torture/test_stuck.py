# SPDX-License-Identifier: MIT
"""What the service leans on gets stuck, or lies: journal, name server, NSS, clock, PID 1.

Who does not need it is answered meanwhile; who does is told within the deadline; the watchdog has
nothing to do, a stop is a clean one, and all comes back by itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fingerd_sd.process.log.journal import MESSAGE_IDS

from ..finger import ABSENT, FAILED, HAPPY, MOSHEZ, PROBE, SERVICE, Finger
from ..machine import Machine, read_all
from ..test_backends import install_drop_in
from ..waiting import wait_for
from .stand_ins import SWITCH, asked_before, install_library, instead, there
from .starving import number

Tell = Callable[[str, str], None]

QUERIES = 5000
LIMITED = b"Too many queries, try again later\r\n"
WATCHED = "[Service]\nWatchdogSec=2s\n"
POOL = 8  # threads that look accounts up: sources/accounts/source.py, MAX_THREADS
LIBRARY = "/usr/lib/libnss_hang.so.2"
ACCOUNTS = """
[[source]]
type = "accounts"
visible = "all"
min_uid = 0
unreadable_home = "show"
"""
FORWARDING = """
[server]
answer_timeout = 4

[[audience]]
name = "local"
networks = ["127.0.0.0/8"]
forward = true
forward_hosts = ["other.example"]
"""

# Knows one name, 127.0.0.1 for all who ask, and nothing while /run/hang is there: RFC 1035 §4.1.
NAME_SERVER = r"""
import os, socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
while True:
    query, client = server.recvfrom(512)
    if os.path.exists("/run/hang"):
        continue
    end = query.index(b"\0", 12) + 5
    known = query[end - 4 : end - 2] == b"\0\1"
    answer = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\x7f\0\0\1" if known else b""
    counts = b"\0\1" + (b"\0\1" if known else b"\0\0") + b"\0\0\0\0"
    server.sendto(query[:2] + b"\x85\x80" + counts + query[12:end] + answer, client)
"""


# Gives PID 1 more to read than its queue takes: of one sender even less, socket(7), SO_SNDBUF.
CROWD = r"""
import socket
crowd = []
try:
    while True:
        crowd.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK))
        for _ in range(50):
            crowd[-1].sendto(b"X_CROWD=1", "/run/systemd/notify")
except BlockingIOError:
    print("full")
"""


@contextlib.contextmanager
def asking(machine: Machine, *queries: str) -> Iterator[list[socket.socket]]:
    """Have one client for each of `queries`, which has asked it."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(machine.connect()) for _ in queries]
        for client, query in zip(clients, queries, strict=True):
            client.sendall(query.encode() + b"\r\n")
        yield clients


@pytest.fixture
def library(machine: Machine, tmp_path: Path) -> str:
    """hang.c on the machine, at the path that is returned."""
    install_library(machine, "hang.c", LIBRARY, tmp_path)
    return LIBRARY


@pytest.fixture
def name_server(machine: Machine) -> Iterator[None]:
    """A name server on the machine, which is the one that it asks."""
    machine.write("/run/dns.py", NAME_SERVER)
    with instead(machine, "/etc/resolv.conf", "nameserver 127.0.0.1\n"):
        machine.run("systemd-run", "--quiet", "--unit=dns", "python3", "/run/dns.py")
        try:
            look_up = 'import socket; socket.getaddrinfo("other.example", 79)'
            wait_for(
                lambda: machine.run("python3", "-c", look_up, check=False).status == 0,
                "the name server",
            )
            yield
        finally:
            machine.run("systemctl", "stop", "dns", check=False)


def stopped_cleanly(finger: Finger) -> bool:
    """Stop the service; return whether it ended by itself, in its time."""
    finger.machine.systemctl("stop", SERVICE)
    return finger.machine.show(SERVICE, "Result") == "success"


def test_a_journal_that_does_not_read_costs_entries_which_are_counted(
    finger: Finger, tell: Tell
) -> None:
    pid = finger.serve()
    machine = finger.machine
    journald = machine.show("systemd-journald.service", "MainPID")
    machine.run("kill", "-STOP", journald)
    try:
        assert all(finger.ask("moshez") == HAPPY for _ in range(QUERIES))
        wait_for(lambda: "dropped" in finger.status(), "the dropped entries", note=finger.status)
        wait_for(lambda: finger.status().startswith(f"{QUERIES} "), "all", note=finger.status)
        dropped = int(finger.status().partition("; ")[2].split()[0])
    finally:
        machine.run("kill", "-CONT", journald)
    finger.ask("the-end")
    finger.wait_for_log(FINGER_QUERY="the-end")
    (entry, *_) = finger.wait_for_log(MESSAGE_ID=MESSAGE_IDS["LOG_DROPPED"])
    assert int(entry["MESSAGE"].split()[0]) >= dropped
    written = len(finger.log(FINGER_QUERY="moshez"))
    assert written + dropped >= QUERIES
    assert finger.pid() == pid
    tell(
        f"{QUERIES:,} queries while journald is stopped",
        f"0 lost, {dropped:,} log entries dropped and told",
    )


def test_a_name_server_that_hangs_is_not_waited_for(
    finger: Finger, name_server: None, tell: Tell
) -> None:
    install_drop_in(finger, "outbound.conf")
    finger.drop_in(WATCHED)
    finger.serve(FORWARDING + MOSHEZ)
    machine = finger.machine
    assert finger.ask("moshez@other.example") == HAPPY
    relayed = [f"user{number_}@other.example" for number_ in range(16)]  # four times the threads
    with there(machine, "/run/hang"):
        with asking(machine, *relayed) as clients:
            assert all(finger.ask("moshez") == HAPPY for _ in range(100))
            assert {read_all(client) for client in clients} == {FAILED}
        told = finger.wait_for_log(len(relayed), FINGER_SOURCE="forward", PRIORITY="4")
        assert all("no answer in" in entry["MESSAGE"] for entry in told)
        with asking(machine, *relayed):
            finger.ask("moshez")  # it has taken those before this one
            assert stopped_cleanly(finger)
        assert finger.ask("moshez") == HAPPY
        assert finger.ask("moshez@other.example") == FAILED
    wait_for(lambda: finger.ask("moshez@other.example") == HAPPY, "the name", note=finger.diary)
    assert machine.show(SERVICE, "NRestarts") == "0"
    tell("the name server hangs", "16 of 16 told in time, 100 of 100 others answered, clean stop")


def test_an_nss_that_hangs_is_not_waited_for(finger: Finger, library: str, tell: Tell) -> None:
    machine = finger.machine
    finger.drop_in(WATCHED)
    switch = asked_before(machine, "hang", "systemd")
    strangers = [f"stranger{number_}" for number_ in range(4 * POOL)]
    with instead(machine, SWITCH, switch):
        pid = finger.serve(MOSHEZ + ACCOUNTS)
        with there(machine, "/run/hang"):
            with asking(machine, *strangers[: POOL // 2]) as clients:
                assert b"Login: root" in finger.ask("root")  # a place is left for whom NSS knows
                assert {read_all(client) for client in clients} == {FAILED}
            with asking(machine, *strangers) as clients:
                assert all(finger.ask("moshez") == HAPPY for _ in range(100))
                assert {read_all(client) for client in clients} == {FAILED}
                threads = number(machine, pid, "Threads")
                assert POOL < threads <= POOL + 2  # the loop's, and that of a reload
            told = finger.wait_for_log(len(strangers), FINGER_SOURCE="accounts", PRIORITY="3")
            assert all("no answer in time" in entry["MESSAGE"] for entry in told)
            wait_for(lambda: "failed" in finger.status(), "the count", note=finger.status)
        wait_for(lambda: finger.ask("somebody") == ABSENT, "NSS to answer", note=finger.diary)
        assert b"Login: root" in finger.ask("root")
        assert finger.pid() == pid
        with there(machine, "/run/hang"), asking(machine, *strangers):
            finger.ask("moshez")
            assert stopped_cleanly(finger)
    assert machine.show(SERVICE, "NRestarts") == "0"
    tell(
        f"NSS hangs, {len(strangers)} ask for whom it does not find",
        f"all told in time, {threads} threads, 100 of 100 others answered, clean stop",
    )


def test_jumps_of_the_wall_clock_change_no_deadline(
    probe: Finger, library: str, tell: Tell
) -> None:
    machine = probe.machine
    probe.drop_in(f"{WATCHED}Environment=LD_PRELOAD={library}\n")
    probe.configure(
        f"[server]\nidle_exit = 3600\nquery_timeout = 3600\n"
        f'[[audience]]\nname = "rated"\nnetworks = ["::1/128"]\nrate = 1\n{MOSHEZ}{PROBE}'
    )
    pid = int(probe.ask("pid"))
    now = int(probe.ask("year"))
    # A miss costs what four minutes bring: the rate stays used up for as long as the test may take.
    wait_for(lambda: probe.ask("nobody", host="::1") == LIMITED, "the rate to be used up")
    jumps = 0
    for path, shift in [("/run/later", 10), ("/run/earlier", -10)] * 3:
        with machine.connect() as silent:
            silent.sendall(b"mos")
            assert int(probe.ask("pid")) == pid
            with there(machine, path):
                assert abs(int(probe.ask("year")) - now - shift) <= 1
                assert int(probe.ask("pid")) == pid
                assert probe.ask("moshez") == HAPPY
                assert probe.ask("moshez", host="::1") == LIMITED
                silent.sendall(b"hez\r\n")
                assert read_all(silent) == HAPPY
            assert abs(int(probe.ask("year")) - now) <= 1
            assert int(probe.ask("pid")) == pid
        jumps += 2
    assert machine.show(SERVICE, "NRestarts") == "0"
    tell(f"{jumps} jumps of the clock by ten years", "same process, all answered")


def asked_and_told(finger: Finger) -> int:
    """Ask once more; return how many queries the status tells of, 0 if it tells nothing yet."""
    finger.ask("moshez")
    count = finger.status().partition(" ")[0]
    return int(count) if count.isdigit() else 0


def test_a_pid_1_that_does_not_read_is_not_waited_for(finger: Finger, tell: Tell) -> None:
    """Its queue is filled by others; the service goes on, and is heard once PID 1 reads again."""
    finger.drop_in("[Service]\nWatchdogSec=10min\n")  # PID 1 may look at its clock before its queue
    pid = finger.serve()
    machine = finger.machine
    leader = machine.outside(1)
    os.kill(leader, signal.SIGSTOP)
    try:
        crowd = machine.run("python3", "-c", CROWD, check=False)
        assert crowd.stdout == "full\n"
        assert all(finger.ask("moshez") == HAPPY for _ in range(QUERIES))
        finger.configure(MOSHEZ.replace("Happy", "Happier"))
        machine.run("kill", "-HUP", str(pid))
        wait_for(lambda: finger.ask("moshez") == b"Happier and well\r\n", "the reload")
    finally:
        os.kill(leader, signal.SIGCONT)
    # The reload's RELOADING=1 and READY=1 come with the next message: after a change of the counts.
    wait_for(lambda: asked_and_told(finger) > QUERIES, "the status", note=finger.status)
    wait_for(lambda: machine.show(SERVICE, "SubState") == "running", "the end of the reload")
    assert finger.pid() == pid
    tell(f"{QUERIES:,} queries and a reload, PID 1 stopped", "0 lost, state told afterwards")
