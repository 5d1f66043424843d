# SPDX-License-Identifier: MIT
"""A process that hangs, or crashes again and again: systemd replaces it, and who waits is answered.

The socket is the one thing that has to outlive it all.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest

from ..finger import HAPPY, PROBE, PROMPT, SERVICE, SOCKET, Finger
from ..machine import read_all
from ..waiting import wait_for
from .starving import ticks

Tell = Callable[[str, str], None]

BROKEN = "[server\n"
WAITING = 8  # clients in the socket's queue
CRASHES = 6
RESTARTS = 6


class Callers(threading.Thread):
    """Calls again and again and never waits for an answer; counts what came of it."""

    def __init__(self, finger: Finger) -> None:
        super().__init__(daemon=True)
        self._finger = finger
        self.enough = threading.Event()
        self.taken = 0
        self.refused: list[OSError] = []

    def run(self) -> None:
        """Call about fifty times a second."""
        while not self.enough.wait(0.02):
            try:
                with self._finger.machine.connect() as client:
                    client.sendall(b"moshez\r\n")
                self.taken += 1
            except OSError as error:
                self.refused.append(error)


@pytest.fixture
def callers(finger: Finger) -> Iterator[Callers]:
    """One who calls as long as the test lasts; to be started."""
    made = Callers(finger)
    yield made
    made.enough.set()
    if made.is_alive():
        made.join()


def restarts(finger: Finger) -> int:
    return int(finger.machine.show(SERVICE, "NRestarts"))


def test_a_source_that_spins_is_ended_and_who_waits_is_answered(probe: Finger, tell: Tell) -> None:
    probe.drop_in(PROMPT + "WatchdogSec=2s\n")
    pid = int(probe.ask("pid"))
    with contextlib.ExitStack() as stack:
        spinning = stack.enter_context(probe.machine.connect())
        before = ticks(probe.machine, pid)
        spinning.sendall(b"spin\r\n")
        wait_for(lambda: ticks(probe.machine, pid) > before + 10, "it to spin")
        waiting = [stack.enter_context(probe.machine.connect()) for _ in range(WAITING)]
        for client in waiting:
            client.sendall(b"pid\r\n")
        answers = {int(read_all(client)) for client in waiting}
        with contextlib.suppress(ConnectionResetError):
            assert read_all(spinning) == b""  # it dies with the process that had it in hand
    assert pid not in answers
    assert len(answers) == 1
    assert restarts(probe) == 1
    told = probe.diary()
    assert "Watchdog timeout" in told
    assert "status=6/ABRT" in told
    (line,) = [line for line in told.splitlines() if "fingerd_sd_probe.py" in line]
    tell(
        f"a source spins, {WAITING} clients wait",
        f"replaced by the watchdog, {WAITING} of {WAITING} answered, its line in the journal:"
        f" {line.partition('line ')[2]}",
    )


def test_a_crash_at_each_query_leaves_the_port_open(
    probe: Finger, callers: Callers, tell: Tell
) -> None:
    probe.configure(f"[server]\nmax_per_client = 4096\n{PROBE}")
    before = int(probe.ask("pid"))
    callers.start()
    for _ in range(CRASHES):
        with probe.machine.connect() as client:
            client.sendall(b"boom\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert read_all(client) == b""
    assert int(probe.ask("pid")) != before
    callers.enough.set()
    callers.join()
    assert callers.refused == []
    assert probe.state(SOCKET) == "active"
    assert restarts(probe) == CRASHES
    tell(f"{CRASHES} crashing queries, others call", f"0 of {callers.taken:,} refused")


def test_a_broken_configuration_under_calls_leaves_the_port_open_and_heals_itself(
    finger: Finger, callers: Callers, tell: Tell
) -> None:
    finger.configure(BROKEN)
    finger.listen()
    with finger.machine.connect() as first:
        first.sendall(b"moshez\r\n")
        callers.start()
        wait_for(lambda: restarts(finger) >= RESTARTS, "restarts", 120, note=finger.diary)
        callers.enough.set()
        callers.join()
        assert callers.refused == []
        assert finger.state(SOCKET) == "active"
        assert "status=78/CONFIG" in finger.diary()
        finger.configure()
        assert read_all(first) == HAPPY
    finger.wait_for_state("active")
    assert finger.ask("moshez") == HAPPY
    tell(
        f"{RESTARTS} starts with a broken configuration, others call",
        f"0 of {callers.taken:,} refused, the first answered once it was mended",
    )


def test_a_crash_loop_that_meets_the_start_limit_is_seen_and_cleared(
    finger: Finger, callers: Callers, tell: Tell
) -> None:
    """It takes a drop-in: the unit's own pause between two starts is too long for its limit."""
    finger.drop_in("[Unit]\nStartLimitIntervalSec=1h\nStartLimitBurst=3\n[Service]\nRestartSec=0\n")
    finger.configure(BROKEN)
    finger.listen()
    callers.start()
    finger.wait_for_state("failed", SOCKET)
    callers.enough.set()
    callers.join()
    with pytest.raises(ConnectionRefusedError):
        finger.ask("moshez")
    assert finger.machine.show(SOCKET, "Result") == "service-start-limit-hit"
    seen = finger.machine.systemctl("status", SOCKET, check=False)
    assert "service-start-limit-hit" in seen
    assert finger.state() == "failed"
    # As finger.socket(5), START LIMITS, has it.
    finger.configure()
    finger.machine.run("fingerd-sd", "check")
    finger.machine.systemctl("reset-failed", SERVICE, SOCKET)
    finger.machine.systemctl("start", SOCKET)
    assert finger.ask("moshez") == HAPPY
    tell("a start limit of 3 is met", "port closed, status says so, two commands open it")
