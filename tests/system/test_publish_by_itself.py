# SPDX-License-Identifier: MIT
"""A user with a closed home publishes, by the command and by saving files, with a real manager."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .finger import ABSENT, Finger
from .user import User
from .waiting import wait_for

WATCH = "finger-publish.path"
KEEPER = "finger-publish.socket"


@pytest.fixture
def alice(finger: Finger) -> Iterator[User]:
    """A user on a machine where anybody may publish, and finger is served."""
    finger.machine.systemctl("start", KEEPER)
    finger.listen()
    user = User(finger.machine, "alice")
    try:
        yield user
    finally:
        user.publish("--remove")
        user.drop()
        finger.machine.systemctl("stop", KEEPER, "finger-publish.service")


@pytest.fixture
def watching(alice: User) -> User:
    """The same user, whose files are published whenever they are saved."""
    alice.manage()
    alice.systemctl("enable", "--now", WATCH)
    return alice


def wait_for_answer(finger: Finger, *parts: str) -> str:
    """Return the answer for alice once it holds all of `parts`."""

    def holds() -> str | None:
        told = finger.ask("alice").decode()
        return told if all(part in told for part in parts) else None

    return wait_for(holds, f"an answer with {parts}", note=finger.diary)


def test_a_user_with_a_closed_home_publishes_and_takes_it_back(finger: Finger, alice: User) -> None:
    alice.shell("cat >.plan", "Curiouser\n")
    assert finger.ask("alice") == ABSENT
    said = alice.publish()
    assert (said.status, said.stderr) == (0, "")
    assert said.stdout == "Published: plan (1 line). Not published: project, public key.\n"
    told = finger.ask("alice").decode()
    assert "Name: Alice Liddell" in told
    assert "Plan:\r\nCuriouser\r\n" in told
    assert alice.publish("--remove").status == 0
    assert finger.ask("alice") == ABSENT


FAR = """
ip netns add far
ip link add near type veth peer name far netns far
ip address add 192.0.2.1/24 dev near
ip link set near up
ip -n far address add 192.0.2.2/24 dev far
ip -n far link set far up
"""


def test_it_is_shown_to_another_network(finger: Finger, alice: User) -> None:
    alice.publish("--plan", "-", stdin="Curiouser\n")
    finger.machine.run("sh", "-euc", FAR)
    try:
        ask = ("ip", "netns", "exec", "far", "nc", "-w", "20", "192.0.2.1", "79")
        told = finger.machine.run(*ask, stdin="alice\r\n").stdout
    finally:
        finger.machine.run("sh", "-c", "ip link delete near; ip netns delete far")
    assert told.encode() == finger.ask("alice")
    assert "Curiouser" in told


def test_another_user_has_an_entry_of_their_own(finger: Finger, alice: User) -> None:
    alice.publish("--plan", "-", stdin="Curiouser\n")
    bob = User(finger.machine, "bob")
    try:
        assert bob.entry() == {}
        assert bob.publish("--remove").status == 0
        assert bob.publish("--plan", "-", stdin="I am not alice\n").status == 0
        assert alice.entry()["plan"] == "Curiouser\n"
        assert b"Curiouser" in finger.ask("alice")
        assert bob.run("ls", "/var/lib/fingerd-sd", check=False).status != 0
    finally:
        bob.publish("--remove")
        bob.drop()


def test_show_is_what_the_world_gets(finger: Finger, alice: User) -> None:
    alice.publish("--plan", "-", stdin="Curiouser\n")
    shown = alice.publish("--show").stdout
    assert "What you have published" in shown
    assert '"everyone"' in shown
    for line in finger.ask("alice").decode().splitlines():
        assert f"    {line}".rstrip() in shown.splitlines()


def test_a_status_ends_at_its_time(finger: Finger, alice: User) -> None:
    alice.publish("--plan", "-", stdin="Curiouser\n")
    said = alice.publish("--status", "on call", "--until", "+5s")
    assert said.stdout.startswith('Published: status "on call" until to')
    assert alice.entry()["plan"] == "Curiouser\n"  # as it was
    until = alice.entry()["until"]
    wait_for_answer(finger, "Status: on call (until ", "Curiouser")
    wait_for(lambda: b"on call" not in finger.ask("alice"), "the end of the status")
    assert float(alice.machine.run("date", "+%s.%N").stdout) >= until
    assert b"Curiouser" in finger.ask("alice")


@pytest.mark.parametrize(
    "save",
    [
        "cat >.plan",
        "cat >.plan~; mv .plan~ .plan",
        "mv .plan .plan~; cat >.plan; rm .plan~",
        'sed -i "s/.*/$(cat)/" .plan',
    ],
    ids=["in place", "by a rename", "as vi does", "by sed"],
)
def test_each_save_is_published(finger: Finger, watching: User, save: str) -> None:
    watching.shell("cat >.plan", "the first\n")
    wait_for_answer(finger, "the first")
    for number in range(3):
        watching.shell(save, f"number {number}\n")
        wait_for_answer(finger, f"number {number}")


def test_saves_one_after_another_end_with_the_last(finger: Finger, watching: User) -> None:
    script = (
        "for pause in 0.05 0.3 0.35 0.4 0.45 0; do echo $pause >.p; mv .p .plan; sleep $pause; done"
    )
    watching.shell(f"{script}; echo the last >.plan")
    wait_for_answer(finger, "the last")
    watching.shell("for n in $(seq 2000); do echo $n >.plan; done; echo no storm >.plan")
    wait_for_answer(finger, "no storm")
    assert watching.systemctl("is-active", WATCH).strip() == "active"


def test_other_files_are_published_too_and_a_file_that_is_gone_is_not(
    finger: Finger, watching: User
) -> None:
    watching.shell("echo my plan >.plan; echo my project >.project~; mv .project~ .project")
    wait_for_answer(finger, "my plan", "my project")
    watching.shell("rm .plan")
    wait_for(lambda: b"my plan" not in finger.ask("alice"), "the plan to be gone")
    assert b"my project" in finger.ask("alice")
    watching.shell("rm .project")
    wait_for(lambda: finger.ask("alice") == ABSENT, "the entry to be gone")
    assert watching.entry() == {}


def test_a_watch_that_begins_publishes_what_is_there(finger: Finger, alice: User) -> None:
    alice.shell("echo written before >.plan")
    alice.manage()
    alice.systemctl("enable", "--now", WATCH)
    wait_for_answer(finger, "written before")
    alice.systemctl("disable", "--now", WATCH)
    assert "finger-publish" not in alice.systemctl("list-units", "--state=active", "finger-*")


def test_the_user_units_are_verified_without_a_complaint(watching: User) -> None:
    units = ("finger-publish.path", "finger-publish@project.path")
    services = ("finger-publish.service", "finger-publish-saved.service")
    for unit in (*units, *services):
        done = watching.run("systemd-analyze", "verify", "--user", unit, check=False)
        assert (done.status, done.stdout + done.stderr) == (0, "")


# --- bad input: one line that says what to do, and nothing is changed ---


def test_says_how_publishing_is_enabled(finger: Finger, alice: User) -> None:
    finger.machine.systemctl("stop", KEEPER, "finger-publish.service")
    alice.shell("echo not sent >.plan")
    said = alice.publish()
    finger.machine.systemctl("start", KEEPER)
    assert (said.status, said.stdout, said.stderr.count("\n")) == (69, "", 1)
    assert "`systemctl enable --now finger-publish.socket`" in said.stderr


def test_says_which_files_it_looked_for(alice: User) -> None:
    alice.publish("--plan", "-", stdin="stays\n")
    said = alice.publish()
    assert (said.status, said.stdout, said.stderr.count("\n")) == (64, "", 1)
    assert f"looked for {alice.home}/.plan, {alice.home}/.project" in said.stderr
    assert alice.entry()["plan"] == "stays\n"


def test_says_how_large_a_plan_may_be(alice: User) -> None:
    alice.publish("--plan", "-", stdin="stays\n")
    for octets in (65537, 10 << 20):
        alice.shell(f"head -c {octets} /dev/zero | tr '\\0' x >.plan")
        said = alice.publish()
        assert (said.stdout, said.stderr.count("\n")) == ("", 1)
        assert said.status in (64, 69)
        assert "too large" in said.stderr or "shorten it" in said.stderr
    assert alice.entry()["plan"] == "stays\n"


def test_the_superuser_may_not_publish(finger: Finger, alice: User) -> None:
    said = finger.machine.run(
        "fingerd-sd", "publish", "--plan", "-", stdin="not stored\n", check=False
    )
    assert (said.status, said.stdout, said.stderr.count("\n")) == (77, "", 1)
