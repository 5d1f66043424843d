# SPDX-License-Identifier: MIT
"""Publishing on a booted machine: private homes, rights, kills, full disks."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from .finger import ABSENT, Finger
from .machine import Machine
from .user import remove
from .waiting import wait_for

KEEPER, PUBLISH = "finger-publish.service", "finger-publish.socket"
STATE = "/var/lib/fingerd-sd"
USERS = ("alice", "bob", *(f"user{number}" for number in range(6)))
PLAN = "Curiouser\nand curiouser\n"
KILLS = 20  # tests/system/torture has more

FORGET = f"""
systemctl stop {KEEPER} {PUBLISH}
rm -rf {STATE}/* /run/systemd/system/finger-publish.*.d
systemctl daemon-reload
systemctl reset-failed
"""


@pytest.fixture(scope="module")
def users(machine: Machine) -> Iterator[Machine]:
    """The machine with USERS, whose homes are private, as Debian makes them."""
    try:
        for login in USERS:
            comment = f"{login.capitalize()} Liddell"
            machine.run("useradd", "--create-home", "--comment", comment, login)
            machine.run("chmod", "700", f"/home/{login}")
        yield machine
    finally:
        for login in USERS:
            remove(machine, login)


@pytest.fixture
def keeper(finger: Finger, users: Machine) -> Iterator[Finger]:
    """Both sockets, no configuration, and nothing published."""
    users.run("sh", "-c", FORGET, check=False)
    try:
        users.systemctl("start", PUBLISH)
        finger.listen()
        yield finger
    finally:
        users.run("sh", "-c", FORGET, check=False)


def publish(finger: Finger, login: str, *arguments: str, stdin: str = "") -> tuple[int, str]:
    """Return exit status and text of `fingerd-sd publish ARGUMENTS` by `login`."""
    become = ["setpriv", f"--reuid={login}", f"--regid={login}", "--init-groups", "env"]
    command = [*become, f"HOME=/home/{login}", "fingerd-sd", "publish", *arguments]
    done = finger.machine.run(*command, stdin=stdin, check=False)
    return done.status, done.stdout + done.stderr


def stored(finger: Finger, login: str) -> dict[str, object] | None:
    """Return what the keeper tells `login` of its own entry."""
    status, told = publish(finger, login, "--show", "--json")
    assert status == 0, told
    person: dict[str, object] | None = json.loads(told)["person"]
    return person


def test_a_user_with_a_private_home_is_shown_until_it_is_taken_back(keeper: Finger) -> None:
    assert keeper.ask("alice") == ABSENT
    assert publish(keeper, "alice", "--plan", "-", stdin=PLAN) == (
        0,
        "Published: plan (2 lines).\n",
    )
    told = keeper.ask("alice").decode()
    assert "Name: Alice Liddell" in told
    assert "Plan:\r\nCuriouser\r\nand curiouser\r\n" in told
    assert publish(keeper, "alice", "--plan", "-", stdin="New\n")[0] == 0
    assert "Plan:\r\nNew\r\n" in keeper.ask("alice").decode()  # not the kept answer
    assert publish(keeper, "alice", "--remove")[0] == 0
    assert keeper.ask("alice") == ABSENT
    assert keeper.ask("bob") == ABSENT


def test_the_files_of_a_private_home_are_published_by_their_owner(keeper: Finger) -> None:
    keeper.machine.write("/home/alice/.plan", PLAN, 0o600, "alice")
    keeper.machine.write("/home/alice/.project", "the project\n", 0o600, "alice")
    try:
        assert publish(keeper, "alice")[0] == 0
        told = keeper.ask("alice").decode()
        assert "Project:\r\nthe project\r\n" in told
        assert "and curiouser" in told
    finally:
        keeper.machine.run("rm", "/home/alice/.plan", "/home/alice/.project")


def test_a_link_alone_has_its_owner_shown_and_is_no_part_of_the_answer(keeper: Finger) -> None:
    link = {"rel": "me", "href": "https://social.example/@alice"}
    assert publish(keeper, "alice", "--link", *link.values()) == (0, "Published: 1 link.\n")
    told = keeper.ask("alice").decode()
    assert "Name: Alice Liddell" in told
    assert "social.example" not in told
    person = stored(keeper, "alice")
    assert person is not None
    assert person["links"] == [link]
    assert publish(keeper, "alice", "--link", "me", "javascript:alert(1)")[0] == 64
    assert stored(keeper, "alice") == person
    assert publish(keeper, "alice", "--no-links")[0] == 0
    assert stored(keeper, "alice") is None
    assert keeper.ask("alice") == ABSENT


def test_a_status_ends_by_itself(keeper: Finger) -> None:
    assert publish(keeper, "alice", "--status", "on call", "--until", "+4s")[0] == 0
    assert "Status: on call (until " in keeper.ask("alice").decode()
    wait_for(lambda: b"on call" not in keeper.ask("alice"), "the status to end")


def test_another_user_can_do_nothing_to_an_entry(keeper: Finger) -> None:
    publish(keeper, "alice", "--plan", "-", stdin=PLAN)
    before = stored(keeper, "alice")
    assert publish(keeper, "bob", "--remove")[0] == 0  # bob's own, of which there is none
    assert publish(keeper, "bob", "--plan", "-", stdin="of bob\n")[0] == 0
    assert stored(keeper, "alice") == before
    for script in (f"cat {STATE}/*", f"ls {STATE}", f"touch {STATE}/x"):
        command = ["setpriv", "--reuid=bob", "--regid=bob", "--init-groups", "sh", "-c", script]
        done = keeper.machine.run(*command, check=False)
        assert done.status
        assert "Permission denied" in done.stderr


def test_accounts_that_are_no_people_may_not_publish(keeper: Finger) -> None:
    done = keeper.machine.run("fingerd-sd", "publish", "--plan", "-", stdin=PLAN, check=False)
    assert (done.status, "uid 0 is not from 1000 to 60000" in done.stderr) == (77, True)


# Tries to write as the user of the process whose id it gets, and then as root, where it may run.
_WRITE = f"""
import os, sys
for user in (int(sys.argv[1]), 0):
    if os.fork() == 0:
        os.setgid(int(sys.argv[2]) if user else 0)
        os.setuid(user)
        for name in ("{STATE}/published.sqlite", "{STATE}/generation", "{STATE}/new"):
            try:
                os.close(os.open(name, os.O_RDWR | os.O_CREAT))
                print("written", name, flush=True)
            except OSError as error:
                print(error.strerror, flush=True)
        os._exit(0)
    os.wait()
"""


def test_what_faces_the_network_can_write_nothing(keeper: Finger) -> None:
    publish(keeper, "alice", "--plan", "-", stdin=PLAN)
    keeper.ask("alice")
    machine, pid = keeper.machine, str(keeper.pid())
    ids = [machine.run("id", option, "fingerd-sd").stdout.strip() for option in ("-u", "-g")]
    enter = ["nsenter", "--target", pid, "--mount", "/usr/bin/python3", "-c", _WRITE]
    told = machine.run(*enter, *ids).stdout
    assert told.count("Read-only file system") + told.count("Permission denied") == 6, told
    assert told.count("Read-only file system") >= 3


def test_what_writes_has_no_network_and_no_homes(keeper: Finger) -> None:
    publish(keeper, "alice", "--plan", "-", stdin=PLAN)
    machine = keeper.machine
    pid = machine.show(KEEPER, "MainPID")
    links = machine.run("cat", f"/proc/{pid}/net/dev").stdout.splitlines()[2:]
    assert [line.split(":")[0].strip() for line in links] == ["lo"]
    homes = machine.run("ls", "-A", f"/proc/{pid}/root/home", check=False)
    assert homes.stdout == ""
    assert machine.show(KEEPER, "User") == "fingerd-publish"
    (exposure,) = (
        line
        for line in machine.run(
            "systemd-analyze", "security", "--no-pager", KEEPER, check=False
        ).stdout.splitlines()
        if "Overall exposure level" in line
    )
    assert float(exposure.split(":")[1].split()[0]) <= 0.4


def test_where_it_is_not_enabled_the_command_says_what_to_do(keeper: Finger) -> None:
    publish(keeper, "alice", "--plan", "-", stdin=PLAN)
    assert b"Curiouser" in keeper.ask("alice")
    keeper.machine.systemctl("stop", KEEPER, PUBLISH)
    status, told = publish(keeper, "alice", "--plan", "-", stdin=PLAN)
    assert status == 69
    assert "systemctl enable --now finger-publish.socket" in told
    wait_for(lambda: keeper.ask("alice") == ABSENT, "the entry to be hidden")
    keeper.machine.systemctl("start", PUBLISH)
    wait_for(lambda: b"Curiouser" in keeper.ask("alice"), "the entry to be shown again")


def test_what_is_too_large_is_refused_and_nothing_changes(keeper: Finger) -> None:
    publish(keeper, "alice", "--plan", "-", stdin=PLAN)
    before = stored(keeper, "alice")
    # The keeper's limit, and that of any keeper, above which the command does not even ask.
    for size, limit in ((70_000, "65536"), (10 << 20, "1048576")):
        keeper.machine.run("sh", "-c", f"head -c {size} /dev/zero | tr '\\0' x >/tmp/large")
        status, told = publish(keeper, "alice", "--plan", "/tmp/large")
        assert status, told
        assert limit in told
    assert stored(keeper, "alice") == before


def test_a_full_disk_loses_nothing(keeper: Finger) -> None:
    machine = keeper.machine
    machine.systemctl("stop", KEEPER)
    options = "size=512k,mode=750,uid=fingerd-publish,gid=fingerd-sd"
    machine.run("mount", "-t", "tmpfs", "-o", options, "tmpfs", STATE)
    try:
        machine.systemctl("try-restart", "finger.service")
        assert publish(keeper, "alice", "--plan", "-", stdin=PLAN)[0] == 0
        machine.run("sh", "-c", f"head -c 1M /dev/zero >{STATE}/filler", check=False)
        status, told = publish(keeper, "bob", "--plan", "-", stdin="x" * 60000)
        assert (status, "the disk is full" in told) == (69, True), told
        assert b"Curiouser" in keeper.ask("alice")
        machine.run("rm", f"{STATE}/filler")
        assert publish(keeper, "bob", "--plan", "-", stdin="x" * 60000)[0] == 0
        assert b"Curiouser" in keeper.ask("alice")
    finally:
        machine.systemctl("stop", KEEPER, "finger.service")
        machine.run("umount", STATE)


def test_who_asked_is_told_in_two_numbers_where_the_administrator_allows_it(
    keeper: Finger,
) -> None:
    publish(keeper, "alice", "--plan", "-", stdin=PLAN)
    keeper.ask("alice")
    assert "not counted" in publish(keeper, "alice", "--show", "--who")[1]
    keeper.configure("[publish]\nwho = true\n")
    keeper.machine.systemctl("restart", KEEPER, "finger.service")
    for host in ("127.0.0.1", "127.0.0.1", "::1"):
        assert b"Curiouser" in keeper.ask("alice", host=host)
    keeper.machine.systemctl("stop", "finger.service")  # it tells the rest when it leaves
    told = publish(keeper, "alice", "--show", "--who")[1]
    assert "Asked for in the last seven days: 3 times, from 2 networks." in told


# Eight users publish until told to stop, each plan 300 lines of its number. It prints, by user, the
# number that was acknowledged last, and what was read that was not whole.
HURRY = r"""
import json, os, pwd, socket, sys, time
sys.path.insert(0, "/usr/local/lib/fingerd-sd")
from fingerd_sd.serving.publishing.client import exchange, NotReached, SOCKET
login, stop = sys.argv[1], sys.argv[2]
entry = pwd.getpwnam(login)
told = os.open("/tmp/acknowledged", os.O_WRONLY | os.O_APPEND)
os.setgid(entry.pw_gid); os.setuid(entry.pw_uid)
acknowledged, done, number, torn, lost = 0, 0, 0, [], 0
end = time.monotonic() + 900
while not os.path.exists(stop) and time.monotonic() < end:
    number += 1
    plan = f"{number}\n" * 300
    try:
        asked = json.dumps({"do": "publish", "set": {"plan": plan}}).encode()
        said = json.loads(exchange(SOCKET, asked + b"\n"))
    except NotReached:
        lost += 1
    else:
        if said["ok"]:
            acknowledged, done = number, done + 1
            os.write(told, b".")
    with socket.create_connection(("127.0.0.1", 79)) as client:
        client.sendall(login.encode() + b"\r\n")
        heard = b""
        while part := client.recv(65536):
            heard += part
    lines = heard.partition(b"Plan:\r\n")[2].split()
    if b"Internal error" not in heard and lines and (len(lines) != 300 or len(set(lines)) != 1):
        torn.append(heard.decode())
    if lines and int(lines[0]) < acknowledged:
        torn.append(f"old: {lines[0]} after {acknowledged}")
print(json.dumps({"acknowledged": acknowledged, "done": done, "torn": torn, "lost": lost}))
"""


def kill_while_users_publish(keeper: Finger, kills: int) -> int:
    """Kill the keeper `kills` times; nothing acknowledged may be lost, and nothing torn shown.
    Return how many publishes were acknowledged.
    """
    machine = keeper.machine
    keeper.configure("[publish]\nper_hour = 0\n[[audience]]\nname = 'all'\nrate = 0\n")
    keeper.drop_in("[Unit]\nStartLimitIntervalSec=0\n", KEEPER)
    machine.write("/tmp/hurry.py", HURRY)
    machine.run("rm", "-f", "/tmp/stop")
    machine.write("/tmp/acknowledged", "")
    publish(keeper, "alice", "--plan", "-", stdin=PLAN)
    command = ("/usr/bin/python3", "/tmp/hurry.py")
    started = [machine.start(*command, login, "/tmp/stop") for login in USERS]
    seen = 0

    def more() -> int:
        """Return how many were acknowledged, once one more was since the last kill."""
        size = int(machine.run("stat", "-c", "%s", "/tmp/acknowledged").stdout)
        return size if size > seen else 0

    try:
        for _ in range(kills):
            seen = wait_for(more, "a publish to be acknowledged", note=keeper.diary)
            pid = machine.show(KEEPER, "MainPID")
            if pid != "0":
                machine.run("kill", "-KILL", pid, check=False)
    finally:
        machine.run("touch", "/tmp/stop")
        told = [process.communicate(timeout=300)[0] for process in started]
    acknowledged = 0
    for login, octets in zip(USERS, told, strict=True):
        found = json.loads(octets)
        assert found["torn"] == []
        assert found["acknowledged"] > 0
        entry = stored(keeper, login)
        assert entry is not None
        assert int(str(entry["first"])) >= found["acknowledged"]
        acknowledged += found["done"]
    return acknowledged


def test_a_keeper_that_is_killed_loses_nothing_that_it_acknowledged(keeper: Finger) -> None:
    kill_while_users_publish(keeper, KILLS)
