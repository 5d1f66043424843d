# SPDX-License-Identifier: MIT
"""Debian's finger and ours, side by side, over the same accounts, terminals and records of logins.

They run in a mount namespace of their own, in which /etc/passwd, utmp, lastlog, the mail spool, the
homes and the terminals are the test's. The layout must be the same to the octet.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ...helpers import needs
from ...helpers.records import lastlog, utmp, write_lastlog

TREE = Path(__file__).parents[3]
MINUTE, HOUR, DAY = 60, 3600, 86400
UID = 1001

ACCOUNTS = {
    "alice": "Alice Liddell,Hill 016,9085551234,2125550100",
    "bob": "Bob Bobson,E313C,52443",
    "carol": "*& Carolson,A very long office with a long name,18005551234,5551234",
    "dave": "",
    "erin": "Erin,,4242",
    "frank": "Frank & Frank & Frank,Office",
    "grace_with_a_long_name": "Grace Brewster Murray Hopper,x,y,z",
    "heidi": ",,,5550100",
}
# Login: (tty, seconds since the login, seconds of idleness, mode of the terminal, host).
SESSIONS = {
    "alice": [("pts/1", 3 * HOUR, 26 * MINUTE + 30, 0o620, "203.0.113.7"),
              ("pts/21", 10 * MINUTE, -HOUR, 0o620, "")],
    "bob": [("pts/2", 5 * DAY, 2 * DAY + 3 * HOUR + 100, 0o600, "")],
    "carol": [("pts/3", 200 * DAY, 5 * HOUR + 90, 0o600, "2001:db8::7"),
              ("pts/4", 5 * HOUR, HOUR + 7 * MINUTE + 30, 0o620, ""),
              ("pts/5", 4 * HOUR, -HOUR, 0o600, "a.host.with.a.long.name.example.org"),
              ("pts/15", HOUR, DAY + 100, 0o620, "")],
    "dave": [(":0", HOUR, 0, 0, ":0")],
    "grace_with_a_long_name": [("pts/6", 30, -HOUR, 0o600, "")],
    "heidi": [("pts/7", 30, -HOUR, 0o620, "")],
}  # fmt: skip
LAST = {
    "alice": (2 * HOUR, "pts/1", "203.0.113.7"),
    "bob": (DAY, "pts/9", "a.later.login"),
    "erin": (40 * DAY, "pts/4", "host"),
    "frank": (300 * DAY, "tty1", ""),
}
# Login: seconds since mail came, and since it was read.
MAIL = {"alice": (3 * HOUR, HOUR), "bob": (HOUR, 3 * DAY), "erin": (400 * DAY, 400 * DAY)}
FILES = {
    "alice": {".plan": "Working on finger.\n\n\tvery hard", ".project": "finger\n"},
    "bob": {".pgpkey": "-----BEGIN\nkey\n-----END\n", ".forward": "alice@example.org\n"},
    "carol": {".forward": "a@example.org\nb@example.org"},
}

CONFIGURATION = """
[[audience]]
show = "all"
list = true
match_names = true
[[source]]
type = "accounts"
visible = "all"
"""

ENTER = """
cd "$1"
for name in etc/passwd var/log/lastlog var/log/wtmp; do mount --bind "$name" "/$name"; done
for name in run var/mail home dev/pts; do mount --bind "$name" "/$name"; done
cd /; shift
exec "$@"
"""


@pytest.fixture(scope="module", autouse=True)
def _needs() -> None:
    needs.programs("finger", "unshare")
    needs.right(needs.mounts)
    needs.right(needs.devices)
    needs.right(needs.giving_away)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """The files of a machine, below a directory; made for each test, as idle times go on."""
    root = tmp_path
    root.chmod(0o755)
    now = int(time.time())
    for name in ("etc", "run", "var/log", "var/mail", "home", "dev/pts"):
        (root / name).mkdir(parents=True)
    uids = {login: UID + number for number, login in enumerate(ACCOUNTS)}
    people = "".join(
        f"{login}:x:{uids[login]}:100:{gecos}:/home/{login}:{'/bin/bash' if gecos else ''}\n"
        for login, gecos in ACCOUNTS.items()
    )
    (root / "etc/passwd").write_text(f"root:x:0:0:root:/root:/bin/sh\n{people}")
    records = b""
    for login, sessions in SESSIONS.items():
        for tty, since, idle, mode, host in sessions:
            records += utmp(login, tty, now - since, host)
            if tty.startswith("pts/"):
                path = root / "dev" / tty
                os.mknod(path, 0o020000 | mode, os.makedev(136, int(tty[4:])))
                os.chmod(path, mode)
                os.utime(path, (now - idle, now - idle))
    (root / "run/utmp").write_bytes(records)
    (root / "var/log/wtmp").write_bytes(b"")
    write_lastlog(
        root / "var/log/lastlog",
        {
            uids[login]: lastlog(now - since, tty, host)
            for login, (since, tty, host) in LAST.items()
        },
    )
    for login, (came, read) in MAIL.items():
        (root / "var/mail" / login).write_text("From alice\n")
        os.utime(root / "var/mail" / login, (now - read, now - came))
    (root / "var/mail/carol").touch()
    for login, uid in uids.items():
        home = root / "home" / login
        home.mkdir()
        for name, text in FILES.get(login, {}).items():
            (home / name).write_text(text)
            os.chown(home / name, uid, 100)
        os.chown(home, uid, 100)
    (root / "fingerd.toml").write_text(CONFIGURATION)
    return root


def run(world: Path, zone: str, *command: str) -> str:
    environment = {**os.environ, "TZ": zone, "PYTHONPATH": str(TREE)}
    enter = ["unshare", "--mount", "--propagation=private", "sh", "-euc", ENTER, "sh", str(world)]
    return subprocess.run(
        [*enter, *command],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=60,
        check=False,
    ).stdout.decode()


def theirs(world: Path, zone: str, *arguments: str) -> str:
    told = run(world, zone, "finger", *arguments)
    # What it gets wrong: no record of logins is complete.
    return told.replace("Never logged in.\n", "")


def ours(world: Path, zone: str, query: str) -> str:
    ask = [sys.executable, "-m", "fingerd_sd", "ask", "--config", str(world / "fingerd.toml")]
    told = run(world, zone, *ask, query)
    assert "\n" not in told.replace("\r\n", "")
    return told.replace("\r\n", "\n")


def without_seconds(told: str) -> str:
    """A second passes between the two."""
    return re.sub(r"(minutes?) \d+ seconds? idle", r"\1 idle", told)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "Europe/Berlin"])
@pytest.mark.parametrize("login", ACCOUNTS)
def test_the_long_form_is_theirs(world: Path, zone: str, login: str) -> None:
    expected = theirs(world, zone, "-lm", login)
    assert f"Login: {login}" in expected
    assert without_seconds(ours(world, zone, login)) == without_seconds(expected)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_the_list_is_theirs(world: Path, zone: str) -> None:
    expected = theirs(world, zone)
    assert "bob" in expected
    told = ours(world, zone, "")
    # What it gets wrong: how long a display has been idle is not known.
    assert "*:0          ?  " in told
    assert told.replace("?  ", "   ") == expected


def test_the_long_list_is_theirs(world: Path) -> None:
    expected = theirs(world, "UTC", "-l")
    assert without_seconds(ours(world, "UTC", "/W")) == without_seconds(expected)


@pytest.mark.parametrize("name", ["liddell", "Bobson", "frank", "hopper"])
def test_a_full_name_finds_whom_it_finds_for_them(world: Path, name: str) -> None:
    expected = theirs(world, "UTC", "-l", name)
    assert "Login: " in expected
    assert without_seconds(ours(world, "UTC", name)) == without_seconds(expected)


def test_nobody_is_logged_on(world: Path) -> None:
    (world / "run/utmp").write_bytes(b"")
    assert ours(world, "UTC", "") == theirs(world, "UTC") == "No one logged on.\n"


def test_without_any_record_nobody_is_said_to_be_away(world: Path) -> None:
    (world / "run/utmp").unlink()
    assert theirs(world, "UTC") == "No one logged on.\n"  # what it gets wrong
    assert ours(world, "UTC", "") == "Internal error in server\n"
    told = ours(world, "UTC", "alice")
    assert "Working on finger." in told
    assert "On since" not in told
