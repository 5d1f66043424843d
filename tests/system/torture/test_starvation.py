# SPDX-License-Identifier: MIT
"""Out of descriptors, memory, tasks, room on the disk: what can be answered is, the rest is said to
fail, in the status or the journal, and all comes back by itself.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator

import pytest

from fingerd_sd.process.log.journal import MESSAGE_IDS

from ..finger import ABSENT, FAILED, HAPPY, MOSHEZ, PROBE, PROMPT, SERVICE, SOCKET, Finger
from ..machine import Machine, read_all
from ..waiting import wait_for
from .figures import figure
from .starving import MEMORY, TASKS, bound, full, number, ticks

Tell = Callable[[str, str], None]

ROOT = """
[[source]]
type = "accounts"
visible = "all"
min_uid = 0
unreadable_home = "show"
"""
ECHO = '[[source]]\ntype = "command"\nargv = ["/usr/bin/echo", "{user}"]\n'
DESCRIPTORS = 40
CLIENTS = 60  # more than there are descriptors, and fewer than max_per_client


@contextlib.contextmanager
def clients(machine: Machine, count: int, line: bytes = b"mos") -> Iterator[list[socket.socket]]:
    """Have `count` clients that have sent `line`."""
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(machine.connect()) for _ in range(count)]
        for connection in connections:
            connection.sendall(line)
        yield connections


def test_without_descriptors_it_waits_and_goes_on_when_there_are_some(
    finger: Finger, tell: Tell
) -> None:
    finger.drop_in(f"[Service]\nLimitNOFILE={DESCRIPTORS}\n")
    pid = finger.serve(f"[server]\nquery_timeout = 3600\n{MOSHEZ}{ROOT}")
    machine = finger.machine
    with clients(machine, CLIENTS) as held:
        wait_for(lambda: "accepting is paused" in finger.status(), "the pause", note=finger.status)
        assert "Too many open files" in finger.status()
        before, woken = ticks(machine, pid), number(machine, pid, "voluntary_ctxt_switches")
        # A loop that spins never sleeps.
        wait_for(
            lambda: number(machine, pid, "voluntary_ctxt_switches") > woken + 10, "ten wake-ups"
        )
        spent = ticks(machine, pid) - before
        # Who is held is answered, but not from files.
        held[0].sendall(b"nobody\r\n")
        assert read_all(held[0]) == FAILED
        held[1].sendall(b"hez\r\n")
        assert read_all(held[1]) == HAPPY
        assert finger.wait_for_log(FINGER_SOURCE="accounts", PRIORITY="3")
        for waiting in held[DESCRIPTORS:]:
            waiting.sendall(b"hez\r\n")
        for early in held[2:DESCRIPTORS]:
            early.close()
        assert {read_all(waiting) for waiting in held[DESCRIPTORS:]} == {HAPPY}
    wait_for(lambda: "paused" not in finger.status(), "the end of the pause", note=finger.status)
    assert b"Login: root" in finger.ask("root")
    entries = finger.wait_for_log(MESSAGE_ID=MESSAGE_IDS["ACCEPT_PAUSED"])
    assert len(entries) == 1
    assert "Too many open files" in entries[0]["MESSAGE"]
    assert (finger.pid(), finger.state()) == (pid, "active")
    tell(
        f"{CLIENTS} clients, LimitNOFILE={DESCRIPTORS}",
        f"all answered, 1 log entry; {figure(spent, 50, 'clock ticks')} for 10 wake-ups",
    )


def test_out_of_memory_it_is_killed_and_the_next_process_answers(probe: Finger, tell: Tell) -> None:
    probe.drop_in(PROMPT)
    probe.drop_in("[Socket]\nSendBuffer=128K\n", SOCKET)  # else the kernel may take all answers
    probe.machine.systemctl("restart", SOCKET)
    probe.configure(f"[server]\nidle_exit = 0\n{PROBE}")
    pid = int(probe.ask("pid"))
    lost = 0
    with bound(probe, MEMORY, 40 << 20), contextlib.ExitStack() as stack:
        deaf = [stack.enter_context(probe.machine.connect()) for _ in range(40)]
        for number_, client in enumerate(deaf):  # nobody reads the 2.5 MB
            with contextlib.suppress(ConnectionError):
                client.sendall(f"large{number_}\r\n".encode())
        wait_for(lambda: probe.pid() not in (0, pid), "another process", note=probe.diary)
        assert int(probe.ask("pid")) != pid
        for client in deaf:
            try:
                lost += len(read_all(client)) < 79 << 15
            except ConnectionError:
                lost += 1
    assert lost  # no process survives SIGKILL: what is in its hands goes with it
    assert probe.state(SOCKET) == "active"
    assert int(probe.machine.show(SERVICE, "NRestarts")) > 0
    assert "status=9/KILL" in probe.diary()
    tell("40 large answers nobody reads, 40 MiB of memory", f"killed; {lost} of 40 cut, port open")


def test_a_source_that_gets_no_memory_fails_alone(probe: Finger, tell: Tell) -> None:
    probe.drop_in("[Service]\nLimitAS=1G\n")
    pid = int(probe.ask("pid"))
    with clients(probe.machine, 8, b"too much\r\n") as greedy:
        assert {read_all(client) for client in greedy} == {FAILED}
    (entry, *_) = probe.wait_for_log(MESSAGE_ID=MESSAGE_IDS["SOURCE_FAILED"])
    assert "MemoryError" in entry["MESSAGE"]
    assert int(probe.ask("pid")) == pid
    tell("a source gets no memory, LimitAS=1G", "8 of 8 told so, same process")


def test_without_tasks_what_needs_none_is_answered(finger: Finger, tell: Tell) -> None:
    finger.drop_in("[Service]\nExecPaths=/usr/bin/echo\n")
    pid = finger.serve(MOSHEZ + ROOT + ECHO)
    with bound(finger, TASKS, 1) as change:
        for _ in range(20):  # more than the pool has threads: none of its places gets lost
            assert finger.ask("root") == FAILED
            assert finger.ask("moshez") == HAPPY
        (no_thread, *_) = finger.wait_for_log(FINGER_SOURCE="accounts", PRIORITY="3")
        assert "can't start new thread" in no_thread["MESSAGE"]
        (no_child, *_) = finger.wait_for_log(FINGER_SOURCE="command", PRIORITY="3")
        assert "Resource temporarily unavailable" in no_child["MESSAGE"]

        finger.configure(MOSHEZ.replace("Happy", "Happier") + ROOT + ECHO)
        finger.machine.run("kill", "-HUP", str(pid))
        wait_for(lambda: "can't start" in finger.status(), "why not", note=finger.status)
        assert finger.wait_for_log(MESSAGE_ID=MESSAGE_IDS["RELOAD_FAILED"])
        assert finger.ask("moshez") == HAPPY

        change(64)
        assert b"Login: root" in finger.ask("root")
        assert finger.ask("x") == b"x\r\n"
        finger.machine.systemctl("reload", SERVICE)
        assert finger.ask("moshez") == b"Happier and well\r\n"
        wait_for(lambda: "can't start" not in finger.status(), "no trouble", note=finger.status)
    assert (finger.pid(), finger.state()) == (pid, "active")
    tell("no thread and no program: 1 task", "20 of 20 static users, 20 told so, reload told")


@pytest.mark.parametrize("folder", ["/tmp", "/var/tmp", "/var/log", "/run/log", "/dev/shm"])
def test_a_full_disk_is_nothing_to_the_service(finger: Finger, tell: Tell, folder: str) -> None:
    finger.machine.run("mkdir", "-p", folder)
    with full(finger.machine, folder) as fill:
        pid = finger.serve(MOSHEZ + ROOT)
        fill()
        assert {finger.ask("moshez") for _ in range(100)} == {HAPPY}
        assert b"Login: root" in finger.ask("root")
        finger.configure(MOSHEZ.replace("Happy", "Happier"))
        finger.machine.systemctl("reload", SERVICE)
        assert finger.ask("moshez") == b"Happier and well\r\n"
        opened = finger.machine.run("ls", "-l", f"/proc/{pid}/fd").stdout
        assert f"{folder}/" not in opened
    assert finger.pid() == pid
    tell(f"{folder} is full", "100 of 100 answered, reload done")


def test_compile_on_a_full_disk_leaves_the_old_database(finger: Finger, tell: Tell) -> None:
    machine = finger.machine
    database = "/mnt/users.db"
    few = '{"alice": "Hello"}\n'
    many = "".join(f'{{"user{number_}": "{"x" * 200}"}}\n' for number_ in range(2000))
    compiling = ("fingerd-sd", "compile", "-", database)
    with full(machine, "/mnt", "256k"):
        machine.run(*compiling, stdin=few)
        machine.run("chmod", "644", database)
        finger.serve(f'[[source]]\ntype = "static"\nfile = "{database}"\n')
        before = machine.run("sha256sum", database).stdout
        done = machine.run(*compiling, stdin=many, check=False)
        assert done.status == 69
        assert f"{database}: cannot be written" in done.stderr
        assert "full" in done.stderr
        assert machine.run("sha256sum", database).stdout == before
        assert machine.run("ls", "-A", "/mnt").stdout == "users.db\n"
        assert finger.ask("alice") == b"Hello\r\n"
        assert finger.ask("user1") == ABSENT
        machine.run("mount", "-o", "remount,size=16M", "/mnt")
        machine.run(*compiling, stdin=many)
        machine.systemctl("reload", SERVICE)
        assert finger.ask("user1") == b"x" * 200 + b"\r\n"
        machine.systemctl("stop", SERVICE)
    tell("compile on a full disk", "exit 69, old database whole, done once there is room")
