# SPDX-License-Identifier: MIT
"""The Debian package on a booted machine: installed, used, upgraded under load, removed, purged."""

from __future__ import annotations

import threading

import pytest

from ..fresh.packages import package
from ..helpers.builds import TREE
from . import project
from .finger import HAPPY, MOSHEZ, SERVICE, SOCKET, Finger
from .machine import Machine
from .package import DROP_IN, install, version

AS_A_USER_DOES = TREE / "packaging/debian/tests/as-a-user-does"
METRICS = "finger-metrics.socket"
ROUNDS = 2  # upgrades, and as many ways back
CLIENTS = 4
UNITS = '[[source]]\ntype = "unit"\npath = "/run/finger/{user}"\n'
PAUSE = 0.005  # seconds between two queries of one client


@pytest.fixture
def finger(packaged: Machine, clean: frozenset[str]) -> Finger:
    """The package as it was just installed."""
    install(packaged, package(packaged.release))
    return Finger(packaged)


def test_the_installation_opens_no_port_and_changes_no_file_of_its_own(finger: Finger) -> None:
    assert finger.state(SOCKET) == finger.state() == "inactive"
    enabled = finger.machine.systemctl("is-enabled", SOCKET, METRICS, check=False)
    assert enabled.split() == ["disabled", "disabled"]
    with pytest.raises(ConnectionRefusedError):
        finger.ask("moshez")
    finger.machine.systemctl("enable", "--now", SOCKET)
    finger.ask("moshez")
    assert finger.machine.run("dpkg", "--verify", "fingerd-sd").stdout == ""
    verified = finger.machine.run("systemd-analyze", "verify", SOCKET, METRICS, SERVICE)
    assert verified.stdout + verified.stderr == ""


def test_what_a_user_does_works(finger: Finger) -> None:
    script = "/tmp/as-a-user-does"
    finger.machine.write(script, AS_A_USER_DOES.read_text(), mode=0o755)
    finger.machine.run(script)


class Client(threading.Thread):
    """Asks again and again until `enough` is set; keeps what was not answered right."""

    def __init__(self, finger: Finger, enough: threading.Event) -> None:
        super().__init__(daemon=True)
        self._finger, self._enough = finger, enough
        self.asked = 0
        self.lost: list[object] = []

    def run(self) -> None:
        """Ask; an error is one connection that was refused, reset or not answered."""
        while not self._enough.wait(PAUSE):
            self.asked += 1
            try:
                answer = self._finger.ask("moshez")
            except OSError as error:
                self.lost.append(error)
                continue
            if answer != HAPPY:
                self.lost.append(answer)


def test_upgrades_lose_no_query(finger: Finger) -> None:
    machine = finger.machine
    machine.write(DROP_IN, MOSHEZ)
    machine.systemctl("enable", "--now", SOCKET)
    enough = threading.Event()
    clients = [Client(finger, enough) for _ in range(CLIENTS)]
    processes = set()
    for client in clients:
        client.start()
    try:
        for sockets in range(ROUNDS):
            if sockets:  # from here on the service has a second one
                machine.systemctl("enable", "--now", METRICS)
            for later in (True, False):
                install(machine, package(machine.release, later))
                assert finger.ask("moshez") == HAPPY
                assert finger.state(METRICS) == ("active" if sockets else "inactive")
                processes.add(finger.pid())
    finally:
        enough.set()
        for client in clients:
            client.join()
    assert [client.lost for client in clients] == [[]] * CLIENTS
    assert len(processes) == 2 * ROUNDS  # each upgrade has brought the new version into use
    print(f"{machine.release}: {sum(client.asked for client in clients)} queries")


def test_an_upgrade_runs_the_new_version_and_keeps_what_the_administrator_chose(
    finger: Finger,
) -> None:
    machine = finger.machine
    machine.write("/etc/fingerd-sd/fingerd.toml", MOSHEZ)  # a conffile with a change: no question
    install(machine, package(machine.release, later=True))
    assert version(machine) == "99-1"
    assert finger.state(SOCKET) == finger.state() == "inactive"
    machine.systemctl("enable", "--now", SOCKET)
    assert finger.ask("moshez") == HAPPY
    install(machine, package(machine.release))
    assert finger.state(SOCKET) == finger.state() == "active"
    assert machine.systemctl("is-enabled", SOCKET).strip() == "enabled"
    assert finger.ask("moshez") == HAPPY


def test_removing_closes_the_port_and_keeps_the_configuration(finger: Finger) -> None:
    machine = finger.machine
    machine.write(DROP_IN, MOSHEZ)
    machine.systemctl("enable", "--now", SOCKET)
    assert finger.ask("moshez") == HAPPY
    machine.run("apt-get", "remove", "--yes", "fingerd-sd")
    with pytest.raises(ConnectionRefusedError):
        finger.ask("moshez")
    assert finger.state(SOCKET) == finger.state() == "inactive"
    assert machine.run("ps", "-C", "fingerd-sd", check=False).status == 1
    machine.run("test", "-e", DROP_IN)
    install(machine, package(machine.release))
    assert finger.ask("moshez") == HAPPY  # enabled it was, and so it is again


def test_purging_leaves_no_file(finger: Finger, clean: frozenset[str]) -> None:
    item = "/usr/share/doc/fingerd-sd/examples/items/coffee"
    finger.machine.run("install", "-m", "755", item, "/etc/fingerd-sd/items/coffee")
    finger.machine.write(DROP_IN, MOSHEZ + UNITS)
    finger.machine.systemctl("enable", "--now", SOCKET, "finger-item@coffee.socket")
    finger.machine.systemctl("enable", "--now", METRICS)
    assert finger.ask("moshez") == HAPPY
    assert finger.ask("coffee").startswith(b"Coffee machine")
    finger.machine.run("apt-get", "purge", "--yes", "fingerd-sd")
    left = project.files(finger.machine) - clean
    assert sorted(left) == []
    assert version(finger.machine) == ""
    assert finger.machine.show(SERVICE, "LoadState") == "not-found"
    assert finger.state("finger-item@coffee.socket") == finger.state(METRICS) == "inactive"
    assert finger.machine.run("ls", "/run/finger", check=False).stdout == ""
