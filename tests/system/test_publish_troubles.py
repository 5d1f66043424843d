# SPDX-License-Identifier: MIT
"""Publishing where something is wrong: accounts that are gone, a broken or a read-only file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fingerd_sd.process.log.journal import MESSAGE_IDS

from .finger import ABSENT, Finger
from .user import User
from .waiting import wait_for

KEEPER, SOCKET = "finger-publish.service", "finger-publish.socket"
STATE = "/var/lib/fingerd-sd"
FILE = f"{STATE}/published.sqlite"

FORGET = f"""
systemctl stop {KEEPER} {SOCKET}
rm -rf {STATE}/* /run/systemd/system/finger-publish.*.d
systemctl daemon-reload
systemctl reset-failed
"""


@pytest.fixture
def publishing(finger: Finger) -> Iterator[Finger]:
    """Both sockets, and nothing published."""
    finger.machine.run("sh", "-c", FORGET, check=False)
    finger.machine.systemctl("start", SOCKET)
    finger.listen()
    try:
        yield finger
    finally:
        finger.machine.run("sh", "-c", FORGET, check=False)


@pytest.fixture
def alice(publishing: Finger) -> Iterator[User]:
    """A user who has published."""
    user = User(publishing.machine, "alice")
    try:
        assert user.publish("--plan", "-", stdin="Curiouser\n").status == 0
        yield user
    finally:
        user.drop()


def entries(finger: Finger, event: str) -> list[str]:
    """Return what the keeper said of `event` in the journal."""
    fields = {"_SYSTEMD_UNIT": KEEPER, "MESSAGE_ID": MESSAGE_IDS[event]}
    return [entry["MESSAGE"] for entry in finger.log(**fields)]


def sql(finger: Finger, statement: str) -> str:
    """Return what `statement` finds in the file, while no keeper runs."""
    finger.machine.systemctl("stop", KEEPER)
    program = (
        "import sqlite3, sys; d = sqlite3.connect(sys.argv[1], isolation_level=None);"
        " print(d.execute(sys.argv[2]).fetchall())"
    )
    return finger.machine.run("python3", "-c", program, FILE, statement).stdout.strip()


def keep(finger: Finger) -> None:
    """Start a keeper anew, and wait until it has looked for accounts that are gone."""
    sql(finger, "DELETE FROM swept")
    finger.machine.systemctl("start", KEEPER)
    wait_for(
        lambda: sql_of_reader(finger, "SELECT count(*) FROM swept") == "[(1,)]",
        "a look for accounts",
        note=finger.diary,
    )


def sql_of_reader(finger: Finger, statement: str) -> str:
    """Return what `statement` finds in the file, while a keeper runs."""
    program = (
        "import sqlite3, sys; d = sqlite3.connect(f'file:{sys.argv[1]}?mode=ro', uri=True);"
        " print(d.execute(sys.argv[2]).fetchall())"
    )
    return finger.machine.run("python3", "-c", program, FILE, statement).stdout.strip()


def test_the_entry_of_an_account_that_is_gone_is_hidden_and_dropped_in_time(
    publishing: Finger,
) -> None:
    user = User(publishing.machine, "bob")
    try:
        assert user.publish("--plan", "-", stdin="Curiouser\n").status == 0
        assert b"Curiouser" in publishing.ask("bob")
    finally:
        user.drop()
    wait_for(lambda: publishing.ask("bob") == ABSENT, "the entry to be hidden")
    keep(publishing)
    assert sql_of_reader(publishing, "SELECT login FROM person") == "[('bob',)]"
    assert sql(publishing, "SELECT login, uid FROM gone") == f"[('bob', {user.uid})]"
    sql(publishing, "UPDATE gone SET since = since - 30 * 86400")
    keep(publishing)
    assert sql_of_reader(publishing, "SELECT login FROM person") == "[]"
    assert entries(publishing, "EXPIRED") == ["The entry of bob is dropped: the account is gone"]


def test_an_account_that_exists_is_not_gone(publishing: Finger, alice: User) -> None:
    keep(publishing)
    assert sql(publishing, "SELECT * FROM gone") == "[]"
    assert alice.entry()["plan"] == "Curiouser\n"


def test_a_broken_file_is_told_in_one_line_and_left_as_it_is(
    publishing: Finger, alice: User
) -> None:
    machine = publishing.machine
    machine.systemctl("stop", KEEPER)
    machine.run("sh", "-c", f"cp -p {FILE} {STATE}/whole; echo 'no database, or broken' >{FILE}")
    said = alice.publish("--plan", "-", stdin="new\n")
    assert (said.status, said.stdout, said.stderr.count("\n")) == (69, "", 1)
    assert "tell the administrator" in said.stderr
    assert entries(publishing, "NOT_STORED")
    assert machine.run("cat", FILE).stdout == "no database, or broken\n"
    wait_for(
        lambda: "nothing can be stored" in machine.show(KEEPER, "StatusText"),
        "a status that says so",
    )
    machine.run("mv", f"{STATE}/whole", FILE)
    assert alice.entry()["plan"] == "Curiouser\n"
    wait_for(lambda: b"Curiouser" in publishing.ask("alice"), "the entry to be shown again")


def test_a_disk_that_became_read_only_is_told_in_one_line(publishing: Finger, alice: User) -> None:
    publishing.drop_in(f"[Service]\nReadOnlyPaths={STATE}\n", KEEPER)
    publishing.machine.systemctl("restart", KEEPER)
    said = alice.publish("--plan", "-", stdin="new\n")
    assert (said.status, said.stdout, said.stderr.count("\n")) == (69, "", 1)
    assert "nothing was stored" in said.stderr
    assert entries(publishing, "NOT_STORED")
    assert b"Curiouser" in publishing.ask("alice")
