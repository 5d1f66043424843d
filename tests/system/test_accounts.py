# SPDX-License-Identifier: MIT
"""Real accounts made by useradd, asked for with Debian's finger and with nc."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .finger import ABSENT, Finger
from .machine import Machine
from .waiting import wait_for

PLAN = "Working on finger.\n"

# Login: mode of the home, shell commands that the user runs in it.
ACCOUNTS = {
    "alice": (0o755, "cat >.plan; echo 'the project of alice' >.project"),
    "bob": (0o711, "cat >.plan; echo 'the project of bob' >.project"),
    "carol": (0o700, "cat >.plan; echo 'the project of carol' >.project"),
    "dave": (0o755, ""),
    "fifo": (0o755, "mkfifo .plan"),
    "passwd": (0o755, "ln -s /etc/passwd .plan"),
    "other": (0o755, "ln -s ../alice/.plan .plan"),
    "absolute": (0o755, "ln -s /home/alice/.plan .plan"),
    "zero": (0o755, "ln -s /dev/zero .plan"),
    "hard": (0o755, "mkdir .plan"),
    "hidden": (0o755, "cat >.plan; chmod 600 .plan"),
    "latin": (0o755, r"printf 'caf\351 \033[31m \302\233 ok\n' >.plan"),
    "huge": (0o755, "head -c 3000000 /dev/zero | tr '\\0' x >.plan"),
}
SHOWN = ("alice", "bob", "latin")
NOT_SHOWN = sorted(set(ACCOUNTS) - {*SHOWN, "huge"})


@pytest.fixture(scope="module")
def people(machine: Machine) -> Iterator[Machine]:
    """The machine with an account for each of ACCOUNTS."""
    try:
        for login, (mode, commands) in ACCOUNTS.items():
            comment = f"{login.capitalize()} Liddell"
            machine.run("useradd", "--create-home", "--comment", comment, login)
            machine.run("chmod", f"{mode:o}", f"/home/{login}")
            become = ["setpriv", f"--reuid={login}", f"--regid={login}", "--init-groups"]
            inside = f"cd /home/{login}; umask 022; {commands}"
            machine.run(*become, "sh", "-euc", inside, stdin=PLAN)
        yield machine
    finally:
        for login in ACCOUNTS:
            machine.run("userdel", "--remove", login)


@pytest.fixture
def accounts(finger: Finger, people: Machine) -> Finger:
    """The service with no configuration at all, its port open."""
    finger.listen()
    return finger


@pytest.mark.parametrize("login", ["alice", "bob"])
@pytest.mark.parametrize("option", ["", "-l"])
def test_debians_finger_shows_who_has_a_readable_plan(
    accounts: Finger, login: str, option: str
) -> None:
    command = ["finger", *filter(None, [option]), f"{login}@localhost"]
    told = accounts.machine.run(*command).stdout
    assert f"Login: {login}" in told
    assert f"Name: {login.capitalize()} Liddell" in told
    assert f"the project of {login}" in told
    assert PLAN.strip() in told
    assert "/bin" not in told  # neither shell nor home: not asked for, not shown


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_nc_hears_the_same_over_both_families(accounts: Finger, address: str) -> None:
    told = accounts.machine.run("nc", "-w", "20", address, "79", stdin="alice\r\n").stdout
    assert told.encode() == accounts.ask("alice")
    assert f"Plan:\r\n{PLAN.strip()}\r\n" in told


@pytest.mark.parametrize("login", NOT_SHOWN)
def test_who_shows_nothing_is_as_absent_as_a_name_that_nobody_has(
    accounts: Finger, login: str
) -> None:
    assert accounts.ask(login) == accounts.ask("nobody-has-this-name") == ABSENT


def test_debians_finger_tells_that_a_closed_home_is_no_such_user(accounts: Finger) -> None:
    assert "No such user" in accounts.machine.run("finger", "carol@localhost").stdout


@pytest.mark.parametrize("login", ["root", "daemon", "nobody", "fingerd-sd"])
def test_system_accounts_are_absent(accounts: Finger, login: str) -> None:
    assert accounts.ask(login) == ABSENT


def test_a_plan_that_is_not_utf_8_is_repaired_and_its_control_characters_are_gone(
    accounts: Finger,
) -> None:
    told = accounts.ask("latin")
    assert "caf" in told.decode("utf-8")
    assert all(sign.isprintable() or sign in "\r\n\t" for sign in told.decode("utf-8"))
    assert PLAN.strip().encode() in accounts.ask("alice")


def test_a_huge_plan_is_bounded(accounts: Finger) -> None:
    assert len(accounts.ask("huge")) < 3_000_000


def test_a_changed_plan_is_seen_without_a_reload(accounts: Finger) -> None:
    accounts.ask("alice")
    accounts.machine.write("/home/alice/.project", "another project\n", owner="alice")
    wait_for(lambda: b"another project" in accounts.ask("alice"), "the change")


def test_the_list_of_users_and_forwarding_are_refused(accounts: Finger) -> None:
    assert accounts.ask("") == b"Finger online user list denied\r\n"
    assert accounts.ask("/W") == b"Finger online user list denied\r\n"
    assert accounts.ask("alice@example.org") == b"Finger forwarding service denied\r\n"
