# SPDX-License-Identifier: MIT
"""Who is on, told to a store by a unit in its sandbox: a login appears in it and goes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..helpers import needs
from . import project, roots
from .finger import Finger
from .machine import Machine
from .test_accounts_sessions import log_in, log_out
from .waiting import wait_for

UNIT = "finger-presence.service"
SOCKET = "/run/fingerd-test/store"
STORE = f"""
[Service]
ExecStart=/usr/bin/redis-server --port 0 --unixsocket {SOCKET} --unixsocketperm 777 --save ''
RuntimeDirectory=fingerd-test
"""
CONFIGURATION = f"""
[store]
url = "unix://{SOCKET}"
host = "login1"
hosts = ["login1"]
[[audience]]
show = "all"
list = true
[[source]]
type = "accounts"
visible = "all"
unreadable_home = "show"
sessions = "fleet"
"""


@pytest.fixture(scope="module", params=roots.RELEASES)
def host(request: pytest.FixtureRequest, able: None) -> Iterator[Machine]:
    """A booted machine with the project, a store of its own, and alice, who is away."""
    release = request.param
    try:
        root = roots.root(release, packages=roots.FLEET_PACKAGES[release])
    except roots.RootError as error:
        needs.cannot_run(str(error))
    machine = Machine(release, root, use="presence")
    try:
        project.bring(machine)
        project.install(machine)
        unit = STORE.replace("redis-server", f"{roots.STORES[release]}-server")
        machine.write("/run/systemd/system/store.service", unit)
        machine.systemctl("daemon-reload")
        machine.run("useradd", "--create-home", "--shell", "/bin/sh", "alice")
        yield machine
    finally:
        machine.close()


@pytest.fixture
def finger(host: Machine) -> Iterator[Finger]:
    """The service there, with a store that is empty, and presence told by nobody yet."""
    service = Finger(host)
    service.forget()
    service.configure(CONFIGURATION)
    host.systemctl("restart", "store.service")
    service.listen()
    yield service
    host.systemctl("stop", UNIT)
    log_out(host, "alice")


def rows(finger: Finger, line: str = "") -> list[str]:
    """Return the answer to `line` as rows."""
    return finger.ask(line).decode().splitlines()


def test_a_login_appears_and_goes(finger: Finger) -> None:
    machine = finger.machine
    machine.systemctl("start", UNIT)
    wait_for(lambda: rows(finger) == ["No one logged on."], "the store to know", note=finger.diary)
    log_in(machine, "alice")
    wait_for(lambda: "alice" in rows(finger)[-1], "alice to appear", note=finger.diary)
    told = finger.ask("alice@login1").decode()
    assert " at login1 from 203.0.113.7" in told
    log_out(machine, "alice")
    wait_for(lambda: rows(finger) == ["No one logged on."], "alice to go", note=finger.diary)


def test_a_stop_takes_back_what_was_told(finger: Finger) -> None:
    finger.machine.systemctl("start", UNIT)
    wait_for(lambda: rows(finger, "@login1") == ["No one logged on."], "the store to know")
    finger.machine.systemctl("stop", UNIT)
    silent = ["Nothing is known of that host now"]
    wait_for(lambda: rows(finger, "@login1") == silent, "the store to know nothing")


def test_a_store_that_is_down_is_told_in_the_status_and_it_heals(finger: Finger) -> None:
    machine = finger.machine
    machine.systemctl("stop", "store.service")
    machine.systemctl("start", UNIT)
    wait_for(
        lambda: "the store at" in machine.show(UNIT, "StatusText"), "a status", note=finger.diary
    )
    machine.systemctl("start", "store.service")
    wait_for(lambda: "sessions on login1, told" in machine.show(UNIT, "StatusText"), "it to heal")
    assert machine.show(UNIT, "NRestarts") == "0"


def test_its_sandbox_is_as_tight_as_those_of_the_others(finger: Finger) -> None:
    machine = finger.machine
    machine.systemctl("start", UNIT)
    said = machine.run("systemd-analyze", "security", "--no-pager", UNIT).stdout.splitlines()
    assert float(said[-1].split(": ")[1].split()[0]) <= 0.5
    (pid,) = machine.show(UNIT, "MainPID").split()
    inside = machine.run("nsenter", "-t", pid, "-m", "ls", "/home", check=False)
    assert "alice" not in inside.stdout
    assert machine.run("nsenter", "-t", pid, "-n", "ip", "-br", "link").stdout.split()[0] == "lo"


def test_without_a_store_it_says_what_is_missing(finger: Finger) -> None:
    finger.configure('[[source]]\ntype = "accounts"\n')
    finger.machine.systemctl("start", UNIT, check=False)
    wait_for(lambda: finger.machine.show(UNIT, "ExecMainStatus") == "78", "it to fail")
    assert "store.url" in finger.diary()
    finger.machine.systemctl("reset-failed", UNIT)
