# SPDX-License-Identifier: MIT
"""The life of the process under a real systemd: stop, hang, crash, idle, and what clients see."""

from __future__ import annotations

import contextlib

import pytest

from .finger import HAPPY, PROBE, PROMPT, SERVICE, SOCKET, Finger
from .machine import read_all
from .waiting import wait_for


def asked_pid(finger: Finger) -> int:
    """Return the id of the process that answers."""
    return int(finger.ask("pid"))


def test_a_stop_lets_an_open_query_end_and_the_next_start_answers_who_came_meanwhile(
    probe: Finger,
) -> None:
    machine = probe.machine
    with machine.connect() as early, machine.connect() as late:
        early.sendall(b"pi")
        pid = asked_pid(probe)  # asked later, answered: so the one before it is accepted
        stop = machine.start("systemctl", "stop", SERVICE)
        probe.wait_for_state("deactivating")
        with stop, machine.connect() as meanwhile:
            meanwhile.sendall(b"pid\r\n")
            late.sendall(b"pid\r\n")
            early.sendall(b"d\r\n")
            assert read_all(early) == f"{pid}\r\n".encode()
            assert stop.wait(60) == 0
            assert int(read_all(meanwhile)) != pid
            assert int(read_all(late)) > 0
    assert probe.state() == "active"


def test_a_stop_waits_for_an_answer_that_is_being_looked_up(probe: Finger) -> None:
    with probe.machine.connect() as client:
        client.sendall(b"slow\r\n")
        asked_pid(probe)
        probe.machine.systemctl("stop", SERVICE)
        assert read_all(client) == b"slow but sure\r\n"
    assert probe.machine.show(SERVICE, "Result") == "success"


def test_sigterm_is_a_clean_end_and_the_next_query_a_new_start(probe: Finger) -> None:
    pid = asked_pid(probe)
    probe.machine.run("kill", "-TERM", str(pid))
    probe.wait_for_state("inactive")
    assert probe.machine.show(SERVICE, "Result") == "success"
    assert probe.machine.show(SERVICE, "ExecMainStatus") == "0"
    assert asked_pid(probe) != pid


def test_an_idle_process_leaves_and_the_next_query_starts_a_new_one(probe: Finger) -> None:
    probe.configure("[server]\nidle_exit = 1\n" + PROBE)
    pid = asked_pid(probe)
    (warning,) = probe.wait_for_log(PRIORITY="4")
    assert "idle_exit" in warning["MESSAGE"]  # so short that start limits may act
    probe.wait_for_state("inactive")
    assert probe.machine.show(SERVICE, "Result") == "success"
    assert probe.state(SOCKET) == "active"
    assert asked_pid(probe) != pid


def test_systemd_exit_on_idle_0_keeps_the_process(probe: Finger) -> None:
    probe.configure("[server]\nidle_exit = 1\n" + PROBE)
    probe.drop_in("[Service]\nEnvironment=SYSTEMD_EXIT_ON_IDLE=0\n")
    pid = asked_pid(probe)
    with pytest.raises(AssertionError, match="waited"):
        wait_for(lambda: probe.state() == "inactive", "an exit that must not come", timeout=3)
    assert asked_pid(probe) == pid


def test_the_watchdog_replaces_a_stopped_process_and_a_waiting_client_is_answered(
    finger: Finger,
) -> None:
    finger.drop_in(PROMPT + "WatchdogSec=5s\n")
    pid = finger.serve()
    assert finger.ask("moshez") == HAPPY
    finger.machine.run("kill", "-STOP", str(pid))
    with finger.machine.connect() as client:
        client.sendall(b"moshez\r\n")
        assert read_all(client) == HAPPY
    assert finger.pid() not in (0, pid)
    assert finger.machine.show(SERVICE, "NRestarts") != "0"


def test_the_watchdog_shows_the_line_that_hangs(probe: Finger) -> None:
    probe.drop_in(PROMPT + "WatchdogSec=5s\n")
    pid = asked_pid(probe)
    with probe.machine.connect() as hanging, probe.machine.connect() as waiting:
        hanging.sendall(b"hang\r\n")
        wait_for(lambda: probe.machine.show(SERVICE, "NRestarts") != "0", "the restart")
        waiting.sendall(b"pid\r\n")
        assert int(read_all(waiting)) != pid
    told = [entry["MESSAGE"] for entry in probe.machine.journal(after=probe.since)]
    assert any("fingerd_sd_probe.py" in str(text) for text in told), told


def test_a_source_that_fails_is_an_internal_error_with_its_traceback_in_the_journal(
    probe: Finger,
) -> None:
    pid = asked_pid(probe)
    assert probe.ask("fail") == b"Internal error in server\r\n"
    entries = probe.wait_for_log(PRIORITY="3")
    assert any("told to fail" in str(entry["MESSAGE"]) for entry in entries), entries
    assert asked_pid(probe) == pid


def test_eight_crashing_queries_leave_the_port_open(probe: Finger) -> None:
    before = asked_pid(probe)
    for _ in range(8):
        with probe.machine.connect() as client:
            client.sendall(b"boom\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert read_all(client) == b""
    assert asked_pid(probe) != before
    assert probe.state(SOCKET) == "active"
    assert probe.ask("nobody") == b"No such user\r\n"
