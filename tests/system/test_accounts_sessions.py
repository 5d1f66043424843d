# SPDX-License-Identifier: MIT
"""Real accounts with real sessions, in the service's own sandbox, next to Debian's finger."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from .finger import ABSENT, Finger
from .machine import Machine
from .user import remove
from .waiting import wait_for

HOST = "203.0.113.7"
PLAN = "Working on finger.\n"
# Login: full name, shell commands that the user runs at home.
ACCOUNTS = {
    "alice": ("Alice Liddell,Hill 016,9085551234", "cat >.plan; echo key >.pgpkey"),
    "bob": ("Bob Liddell", "cat >.plan; echo bob@example.org >.forward"),
    "carol": ("Carol Carolson", "cat >.plan"),
    "dave": ("Dave Liddell", "cat >.plan; touch .nofinger"),
    "erin": ("Erin Liddell", ""),
}
ON_TERMINAL = ("alice", "dave", "erin")
CONFIGURATION = """
[[audience]]
show = "all"
list = true
match_names = true
[[source]]
type = "accounts"
"""
# Debian's finger tells the idle time of the terminal to the second.
SECONDS = re.compile(r"   (\d+ minutes? )?(\d+ seconds? )?idle\n")


def log_in(machine: Machine, login: str) -> None:
    """Log `login` in on a terminal of its own, from HOST, as a remote login does."""
    inner = f"exec login -h {HOST} -f {login}"
    command = f"sleep infinity | script -qfc '{inner}' /dev/null"
    machine.run("systemd-run", "--quiet", f"--unit=at-{login}", "sh", "-c", command)
    wait_for(lambda: terminal(machine, login), f"{login} to be logged in")


def log_out(machine: Machine, login: str) -> None:
    machine.run("loginctl", "terminate-user", login, check=False)
    machine.run("systemctl", "stop", f"at-{login}", check=False)
    wait_for(lambda: not sessions(machine, login), f"{login} to be logged out")


def sessions(machine: Machine, login: str) -> list[str]:
    """Return the numbers of the sessions of `login`, her own systemd's too."""
    listed = machine.run("loginctl", "--no-legend", "--no-pager").stdout.splitlines()
    return [line.split()[0] for line in listed if line.split()[2] == login]


def terminal(machine: Machine, login: str) -> str:
    """Return the terminal of `login`, "" where she has none (yet)."""
    for number in sessions(machine, login):
        told = machine.run("loginctl", "show-session", "-p", "TTY", "--value", number, check=False)
        if tty := told.stdout.strip():
            return tty
    return ""


@pytest.fixture(scope="module")
def people(machine: Machine) -> Iterator[Machine]:
    """The machine with ACCOUNTS: some on terminals, bob without one as ssh has it, carol away."""
    try:
        for login, (comment, commands) in ACCOUNTS.items():
            machine.run("useradd", "--create-home", "--shell", "/bin/sh", "-c", comment, login)
            machine.run("chmod", "755", f"/home/{login}")
            inside = f"cd; umask 022; {commands}"
            machine.run("su", "-s", "/bin/sh", "-c", inside, "-", login, stdin=PLAN)
        for login in ON_TERMINAL:
            log_in(machine, login)
        machine.run(
            "systemd-run", "--quiet", "--unit=at-bob", "--property=User=bob",
            "--property=PAMName=login", "--setenv=XDG_SESSION_CLASS=user",
            "--setenv=XDG_SESSION_TYPE=tty", "sleep", "infinity",
        )  # fmt: skip
        wait_for(lambda: sessions(machine, "bob"), "bob to be logged in")
        yield machine
    finally:
        for login in ACCOUNTS:
            log_out(machine, login)
            remove(machine, login)


@pytest.fixture
def unasked(finger: Finger, people: Machine) -> Finger:
    """The service with the accounts, before its first query."""
    finger.configure(CONFIGURATION)
    finger.listen()
    return finger


@pytest.fixture
def accounts(unasked: Finger) -> Finger:
    """The same once it knows the sessions: an answer waits for logind only so long, and a machine
    that is busy needs a second one.
    """
    wait_for(lambda: b"On since" in unasked.ask("alice"), "alice's session", note=unasked.diary)
    return unasked


def theirs(machine: Machine, *arguments: str) -> str:
    return machine.run("finger", *arguments, check=False).stdout


def lines(answer: bytes) -> str:
    return answer.decode().replace("\r\n", "\n")


def test_the_list_has_who_is_visible_and_here(accounts: Finger) -> None:
    title, *rows = lines(accounts.ask("")).splitlines()
    assert title == "Login     Name            Tty      Idle  Login Time   Office     Office Phone"
    assert [row.split()[0] for row in rows] == ["alice", "bob"]
    tty = terminal(accounts.machine, "alice")
    assert rows[0].startswith(f"alice     Alice Liddell  *{tty:<7} ")
    assert rows[0].endswith(f"({HOST})")
    assert rows[1].startswith("bob       Bob Liddell" + 17 * " " + "?  ")


def test_the_row_of_who_is_on_a_terminal_is_that_of_debians_finger(accounts: Finger) -> None:
    if accounts.machine.release != "bookworm":  # there it sees nobody at all
        assert theirs(accounts.machine) == "No one logged on.\n"
        return
    ours = [line for line in lines(accounts.ask("")).splitlines() if line.startswith("alice")]
    expected = [line for line in theirs(accounts.machine).splitlines() if line.startswith("alice")]
    assert ours == expected


def test_the_long_form_is_that_of_debians_finger(accounts: Finger) -> None:
    ours, expected = lines(accounts.ask("alice")), theirs(accounts.machine, "-lm", "alice")
    tty = terminal(accounts.machine, "alice")
    assert f"on {tty} from {HOST}\n" in ours
    if accounts.machine.release != "bookworm":  # there it says that she never logged in
        here = re.compile(rf"On since .* on {tty} from {HOST}\n(   .*idle\n)?(     ?\(.*\)\n)?")
        ours, expected = here.sub("", ours), expected.replace("Never logged in.\n", "")
    assert SECONDS.sub("", ours) == SECONDS.sub("", expected)


def test_a_list_with_w_is_the_long_form_of_each(accounts: Finger) -> None:
    each = [lines(accounts.ask(login)) for login in ("alice", "bob")]
    assert SECONDS.sub("", lines(accounts.ask("/W"))) == SECONDS.sub("", "\n".join(each))


def test_who_has_no_terminal_is_here_since_a_time_and_nothing_more(accounts: Finger) -> None:
    told = lines(accounts.ask("bob"))
    assert re.search(r"^On since \w+ \w+ [ \d]\d \d\d:\d\d \(\w+\)$", told, re.MULTILINE)
    assert "idle" not in told
    assert "Mail forwarded to bob@example.org\nNo mail.\n" in told


def test_who_is_away_is_not_said_to_have_never_been_here(accounts: Finger) -> None:
    told = lines(accounts.ask("carol"))
    assert "Login: carol" in told
    assert "On since" not in told
    assert "Never" not in told


def test_who_hides_is_neither_listed_nor_found_by_name(accounts: Finger) -> None:
    told = lines(accounts.ask("liddell"))
    logins = [line.split()[1] for line in told.splitlines() if line.startswith("Login:")]
    assert logins == ["alice", "bob"]
    assert accounts.ask("dave") == accounts.ask("erin liddell") == accounts.ask("lidd") == ABSENT


def test_messages_are_on_where_the_terminal_says_so(accounts: Finger) -> None:
    tty = f"/dev/{terminal(accounts.machine, 'alice')}"
    assert "(messages off)" in lines(accounts.ask("alice"))
    accounts.machine.run("chmod", "620", tty)
    try:
        wait_for(lambda: b"(messages off)" not in accounts.ask("alice"), "messages to be on")
    finally:
        accounts.machine.run("chmod", "600", tty)


def test_mail_is_told_of(accounts: Finger) -> None:
    box = "/var/mail/alice"
    accounts.machine.write(box, "From bob\n", 0o660, "alice")
    accounts.machine.run("touch", "-a", "-d", "2026-01-01 12:00 UTC", box)
    accounts.machine.run("touch", "-m", "-d", "2026-01-02 12:00 UTC", box)
    try:
        new = "New mail received Fri Jan  2 12:00 2026 (UTC)\n"
        new += "     Unread since Thu Jan  1 12:00 2026 (UTC)\n"
        wait_for(lambda: new in lines(accounts.ask("alice")), "the new mail")
        assert new in theirs(accounts.machine, "-lm", "alice")
    finally:
        accounts.machine.run("rm", box)


def test_explain_names_logind(accounts: Finger) -> None:
    told = accounts.machine.run("fingerd-sd", "ask", "--explain", "alice")
    assert "sessions: logind and the terminals; the last login: " in told.stderr
    told = accounts.machine.run("fingerd-sd", "ask", "--explain", "")
    assert "list: dave: accounts: /home/dave/.nofinger exists" in told.stderr


def test_a_logind_that_hangs_costs_the_sessions_and_no_answer(unasked: Finger) -> None:
    machine = unasked.machine
    machine.systemctl("kill", "--signal=SIGSTOP", "systemd-logind")
    try:
        told = lines(unasked.ask("alice"))
        assert PLAN in told
        # Debian 12 has utmp besides.
        assert ("On since" in told) == (machine.release == "bookworm")
        assert lines(unasked.ask("carol")).endswith(f"Plan:\n{PLAN}")
    finally:
        machine.systemctl("kill", "--signal=SIGCONT", "systemd-logind")


def test_who_logs_out_is_away_and_was_here(accounts: Finger) -> None:
    machine = accounts.machine
    tty = terminal(machine, "alice")
    assert b"alice" in accounts.ask("")
    log_out(machine, "alice")
    try:
        wait_for(lambda: b"alice" not in accounts.ask(""), "alice to be off the list")
        told = lines(accounts.ask("alice"))
        assert "On since" not in told
        if machine.release == "bookworm":
            assert re.search(rf"^Last login .* on {tty} from {HOST}$", told, re.MULTILINE)
            # Nobody wrote the end into utmp: what reads that alone has her here for ever.
            assert "On since" in theirs(machine, "-lm", "alice")
    finally:
        log_in(machine, "alice")
