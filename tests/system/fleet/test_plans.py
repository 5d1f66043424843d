# SPDX-License-Identifier: MIT
"""A plan that is published on one host is read through both servers, by clients elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ...fresh.packages import package
from ..finger import SERVICE, SOCKET
from ..package import reinstall
from ..torture.load import Load
from ..user import User
from ..waiting import wait_for
from .fleet import Fleet, need_one_server_each
from .network import CLIENTS
from .plans import FRIEND, KEEPER, PEOPLE, PLAN, Plans, answer
from .store import Store


@pytest.fixture
def plans(fleet: Fleet, store: Store) -> Iterator[Plans]:
    """The users of PEOPLE have published PLAN."""
    with Plans(fleet) as plans:
        for login in PEOPLE:
            assert plans.publish(login) == ""
        yield plans


def test_a_plan_is_read_through_both_servers(fleet: Fleet, plans: Plans) -> None:
    for client in CLIENTS:
        told = fleet.ask("ada", client)
        assert "Name: Ada Liddell\r\n" in told
        assert (f"Plan:\r\n{PLAN}\r\n" in told) == (client == FRIEND)
    need_one_server_each(plans.servers, "ada", FRIEND, "friends")
    assert fleet.ask("dan") == "No such user\r\n"
    assert plans.publish("ada", "and curiouser") == ""
    wait_for(lambda: "and curiouser" in fleet.ask("ada"), "the change", note=lambda: plans.servers)
    assert plans.users["ada"].publish("--remove").status == 0
    for client in CLIENTS[:4]:
        wait_for(lambda: fleet.ask("ada", client) == "No such user\r\n", "her to be gone")  # noqa: B023


def test_a_login_is_one_user_on_all_hosts(fleet: Fleet, plans: Plans) -> None:
    same = User(fleet.machines["login2"], "ada", plans.users["ada"].uid)
    other = User(fleet.machines["login3"], "ada", 2999)
    try:
        assert same.publish("--plan", "-", stdin="from elsewhere\n").status == 0
        wait_for(lambda: "from elsewhere" in fleet.ask("ada"), "her other plan")
        since = other.machine.cursor()
        said = other.publish("--plan", "-", stdin="mine\n")
        assert said.status != 0
        assert "ask the administrator to give both one uid" in said.stderr
        assert any(
            "login2 has published ada with uid" in str(entry.get("MESSAGE"))
            for entry in other.machine.journal(since)
            if entry.get("_SYSTEMD_UNIT") == KEEPER
        )
        assert "from elsewhere" in fleet.ask("ada")
    finally:
        same.drop()
        other.drop()


def test_nobody_is_lost_while_servers_come_and_go(fleet: Fleet, plans: Plans) -> None:
    one, two = plans.servers
    questions = [(login, answer(login)) for login in PEOPLE]
    questions.append(("dan", "No such user\r\n"))
    with fleet.asking(Load(questions, 16, (0.0, 0.1))) as asking:
        for server in plans.servers:
            server.machine.systemctl("restart", SERVICE)
        before = one.pid()
        reinstall(one.machine, package(fleet.release))
        assert one.pid() not in (0, before)
        fleet.say("set server finger/one state maint")
        fleet.wait_for_rest("one")
        one.machine.systemctl("stop", SOCKET)
        two.wait_for_log(len(two.log()) + 100)
        one.machine.systemctl("start", SOCKET)
        (again,) = fleet.fingers("one")
        fleet.say("set server finger/one state ready")
        again.wait_for_log(FINGER_QUERY="dan")
        found = asking.found()
    assert found.failed == []
