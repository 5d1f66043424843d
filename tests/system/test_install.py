# SPDX-License-Identifier: MIT
"""The units as installed: enabled, verified, confined, and taken out again."""

from __future__ import annotations

import re

import pytest

from . import project
from .finger import CONFIGURATION, HAPPY, MOSHEZ, SERVICE, SOCKET, Finger
from .machine import Machine
from .waiting import wait_for


def test_enabling_the_socket_opens_the_port_and_the_first_query_starts_the_process(
    finger: Finger,
) -> None:
    finger.configure()
    with pytest.raises(ConnectionRefusedError):
        finger.ask("moshez")
    finger.machine.systemctl("enable", "--now", SOCKET)
    assert finger.machine.systemctl("is-enabled", SOCKET).strip() == "enabled"
    assert finger.state(SOCKET) == "active"
    assert finger.state() == "inactive"
    assert finger.ask("moshez") == HAPPY
    assert finger.state() == "active"
    assert finger.ask("moshez", host="::1") == HAPPY
    finger.machine.systemctl("disable", "--now", SOCKET)
    finger.machine.systemctl("stop", SERVICE)
    with pytest.raises(ConnectionRefusedError):
        finger.ask("moshez")


def test_the_installed_units_are_verified_without_a_complaint(finger: Finger) -> None:
    units = (SOCKET, "finger-metrics.socket", SERVICE)
    done = finger.machine.run("systemd-analyze", "verify", *units, check=False)
    assert (done.status, done.stdout + done.stderr) == (0, "")


def test_the_process_has_no_privilege(finger: Finger) -> None:
    pid = finger.serve()
    lines = finger.machine.run("cat", f"/proc/{pid}/status").stdout.splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert "0" not in status["Uid"].split()
    assert "0" not in status["Gid"].split()
    for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[capabilities], 16) == 0, capabilities
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    user = finger.machine.show(SERVICE, "User")
    assert user in ("fingerd-sd", "finger")
    assert finger.machine.run("ps", "-o", "user:20=", str(pid)).stdout.strip() == user


def exposure(machine: Machine) -> float:
    """Return what systemd says of the running unit's exposure: 0 is none, 10 is all."""
    said = machine.run("systemd-analyze", "--no-pager", "security", SERVICE).stdout
    found = re.search(r"Overall exposure level for finger\.service: ([0-9.]+)", said)
    assert found, said
    return float(found[1])


def test_the_exposure_is_small(finger: Finger) -> None:
    finger.serve()
    assert exposure(finger.machine) <= 0.4
    assert finger.ask("moshez") == HAPPY


@pytest.mark.parametrize(
    ("drop_in", "most"), [("static-only", 0.2), ("command", 0.4), ("outbound", 1.2)]
)
def test_the_exposure_with_a_drop_in_is_what_it_needs(
    finger: Finger, drop_in: str, most: float
) -> None:
    finger.serve()
    finger.drop_in(finger.machine.run("cat", f"{project.DROP_INS}/{drop_in}.conf").stdout)
    finger.machine.systemctl("restart", SERVICE)
    assert exposure(finger.machine) <= most
    assert finger.ask("moshez") == HAPPY
    assert finger.ask("moshez", host="::1") == HAPPY


def test_status_tells_that_it_is_active_and_what_it_did(finger: Finger) -> None:
    finger.serve()
    for _ in range(3):
        finger.ask("moshez")
    finger.ask("nobody")

    def told() -> str:
        return finger.machine.systemctl("status", "finger")

    assert "active (running)" in told()
    counts = "4 queries (3 found, 1 absent), 0 connections open"
    wait_for(lambda: f'Status: "{counts}"' in told(), counts, note=told)


def test_uninstalling_leaves_no_file(finger: Finger, pristine: frozenset[str]) -> None:
    project.install(finger.machine)  # anew: the configuration was taken away by other tests
    finger.machine.systemctl("enable", "--now", SOCKET)
    finger.ask("moshez")
    try:
        project.uninstall(finger.machine)
        assert sorted(project.files(finger.machine) - pristine) == []
        assert finger.machine.show(SERVICE, "LoadState") == "not-found"
    finally:
        project.install(finger.machine)


def test_uninstalling_keeps_what_the_administrator_wrote(finger: Finger) -> None:
    finger.configure()
    try:
        project.uninstall(finger.machine)
        assert finger.machine.run("cat", CONFIGURATION).stdout == MOSHEZ
    finally:
        project.install(finger.machine)
    finger.listen()
    assert finger.ask("moshez") == HAPPY
