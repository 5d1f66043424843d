# SPDX-License-Identifier: MIT
"""Two servers behind HAProxy, as its example says: clients keep their addresses, and none is lost
while a server is restarted, upgraded or taken away.
"""

from __future__ import annotations

import pytest

from ...fresh.packages import package
from ..far import ALICE, configuration
from ..finger import SERVICE, SOCKET, Finger
from ..package import install, version
from ..torture.load import Load
from .fleet import SERVERS, Fleet, need_one_server_each
from .network import BALANCER, CLIENTS

FAR, *OTHERS = CLIENTS
CONFIGURATION = configuration(FAR, '[[audience]]\nname = "others"\nrate = 0\n')
LOAD = Load([("moshez", "Happy and well\r\n"), ("nobody", "No such user\r\n")], 16, (0.0, 0.05))
RESTARTS = 3
MORE = 200  # queries while a server is away


@pytest.fixture
def servers(fleet: Fleet) -> list[Finger]:
    """The services of both servers, as from now on; the balancer has found them well."""
    both = fleet.fingers(*SERVERS)
    for server in both:
        server.configure(CONFIGURATION)
        server.machine.systemctl("restart", SERVICE)
    return both


def test_each_client_is_known_by_its_address(fleet: Fleet, servers: list[Finger]) -> None:
    for client in CLIENTS:
        assert fleet.ask("moshez", client) == "Happy and well\r\n"
    assert fleet.ask("alice", FAR) == ALICE
    assert fleet.ask(f"alice@{BALANCER}", FAR) != ALICE  # it is the name of no server
    need_one_server_each(servers, "moshez", FAR, "far")


def test_nobody_is_lost_while_servers_restart(fleet: Fleet, servers: list[Finger]) -> None:
    with fleet.asking(LOAD) as asking:
        for _ in range(RESTARTS):
            for server in servers:
                server.machine.systemctl("restart", SERVICE)
        found = asking.found()
    assert found.failed == []


def test_nobody_is_lost_while_a_server_is_upgraded(fleet: Fleet, servers: list[Finger]) -> None:
    one, _ = servers
    later = package(fleet.release, later=True)
    before = one.pid()
    with fleet.asking(LOAD) as asking:
        install(one.machine, later)
        found = asking.found()
    assert version(one.machine) == "99-1"
    assert one.pid() not in (0, before)
    assert found.failed == []


def test_nobody_is_lost_while_a_server_is_away(fleet: Fleet, servers: list[Finger]) -> None:
    one, two = servers
    with fleet.asking(LOAD) as asking:
        one.wait_for_log(FINGER_QUERY="moshez")
        fleet.say("set server finger/one state maint")
        fleet.wait_for_rest("one")
        one.machine.systemctl("stop", SOCKET)
        assert one.state() == one.state(SOCKET) == "inactive"
        two.wait_for_log(len(two.log()) + MORE)
        one.machine.systemctl("start", SOCKET)
        (again,) = fleet.fingers("one")
        fleet.say("set server finger/one state ready")
        again.wait_for_log(FINGER_QUERY="moshez")
        found = asking.found()
    assert found.failed == []
