# SPDX-License-Identifier: MIT
"""Who is on, on three login hosts, as a client elsewhere hears it through the balanced servers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from ..finger import CONFIGURATION, SERVICE
from ..machine import Machine
from ..test_accounts_sessions import log_in, log_out
from ..waiting import PATIENCE, wait_for
from .fleet import LOGIN_HOSTS, SERVERS, Fleet
from .network import CLIENTS
from .sharing import share
from .store import Store

PRESENCE = "finger-presence.service"
ON = {"alice": "login1", "bob": "login3"}
LOGINS = (*ON, "carol")
DIRECTORY = """
[[audience]]
show = "all"
list = true
rate = 0

[[source]]
type = "accounts"
visible = "all"
unreadable_home = "show"
sessions = "fleet"
"""
NOBODY = "No one logged on.\r\n"
SILENT = "Nothing is known of that host now\r\n"
EXPIRY = 90  # seconds, as finger-presence.service(5) says


def add_users(machine: Machine) -> None:
    """Make the users, with the uids that they have everywhere."""
    for number, login in enumerate(LOGINS):
        words = ["--uid", str(2000 + number), "--create-home", "--shell", "/bin/sh"]
        machine.run("useradd", *words, "-c", f"{login.capitalize()} Liddell", login, check=False)


def tell_sessions(machine: Machine) -> None:
    """Start the unit that tells the store who is here."""
    machine.write(CONFIGURATION, share(machine, PRESENCE))
    machine.systemctl("restart", PRESENCE)


@pytest.fixture
def everywhere(fleet: Fleet, store: Store) -> Iterator[Fleet]:
    """The login hosts tell who is on, and both servers say so: alice and bob are."""
    for name in (*SERVERS, *LOGIN_HOSTS):
        add_users(fleet.machines[name])
    for name in LOGIN_HOSTS:
        tell_sessions(fleet.machines[name])
    for name in SERVERS:
        machine = fleet.machines[name]
        machine.write(CONFIGURATION, share(machine, SERVICE) + DIRECTORY)
        machine.systemctl("restart", SERVICE)
    try:
        for login, host in ON.items():
            log_in(fleet.machines[host], login)
        wait_until_on(fleet, ON)
        yield fleet
    finally:
        for login, host in ON.items():
            log_out(fleet.machines[host], login)
        for name in LOGIN_HOSTS:
            fleet.machines[name].systemctl("stop", PRESENCE)


def listed(fleet: Fleet, line: str = "", client: str = CLIENTS[0]) -> set[str]:
    """Return the logins of a list as a client gets it."""
    answer = fleet.ask(line, client)
    return set() if answer == NOBODY else {row.split()[0] for row in answer.splitlines()[1:]}


def wait_until_on(fleet: Fleet, logins: Iterable[str], timeout: float = PATIENCE) -> None:
    """Wait until both servers list those, and no others."""
    expected = set(logins)
    for client in CLIENTS[:4]:
        wait_for(
            lambda: listed(fleet, client=client) == expected,  # noqa: B023
            f"{expected} to be on",
            timeout,
            note=lambda: fleet.ask("", client),  # noqa: B023
        )


def test_a_session_is_named_with_its_host(everywhere: Fleet) -> None:
    for login, host in ON.items():
        told = everywhere.ask(login)
        (on,) = (line for line in told.splitlines() if line.startswith("On since"))
        assert f" at {host}" in on
    assert "On since" not in everywhere.ask("carol")
    for client in CLIENTS[:4]:  # by both servers
        assert listed(everywhere, "@login1", client) == {"alice"}
        assert listed(everywhere, "@login2", client) == set()
        assert listed(everywhere, "@login3", client) == {"bob"}
    log_out(everywhere.machines["login3"], "bob")
    wait_until_on(everywhere, {"alice"})


def test_a_host_that_is_started_again_is_believed_at_once(everywhere: Fleet) -> None:
    everywhere.kill("login1")
    assert listed(everywhere) == set(ON)
    machine = everywhere.boot("login1")
    add_users(machine)
    tell_sessions(machine)
    wait_until_on(everywhere, {"bob"})


def test_a_host_that_is_dead_is_gone_when_what_it_told_expires(
    everywhere: Fleet, store: Store
) -> None:
    everywhere.kill("login3")
    try:
        assert 0 < int(store.tell("PTTL", "{fingerd-sd}:s:login3")) <= EXPIRY * 1000
        assert listed(everywhere) == set(ON)
        wait_until_on(everywhere, {"alice"}, PATIENCE + EXPIRY)
        assert everywhere.ask("@login3") == SILENT
    finally:
        everywhere.boot("login3")
