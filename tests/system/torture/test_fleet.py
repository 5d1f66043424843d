# SPDX-License-Identifier: MIT
"""Two balanced servers are restarted, upgraded, taken away and cut from their power under load: no
client is lost, but for those whose query a server had in its hands when its power went.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ...fresh.packages import package
from ..finger import SERVICE, SOCKET
from ..fleet.conftest import booted, fleet
from ..fleet.fleet import SERVERS, Fleet
from ..fleet.test_balanced import CONFIGURATION, servers
from ..package import install
from .load import EMPTY, RESET, RIGHT, Load

__all__ = ("booted", "fleet", "servers")  # fixtures

CLIENTS = 64
ROUNDS = 2
RESTARTS = 4  # of each server, in each round
PAUSE = (0.0, 0.4)  # seconds between two queries of a client
QUERIES = 2000  # at least, while a server is away
QUESTIONS = [("moshez", "Happy and well\r\n")] * 3 + [("nobody", "No such user\r\n")]


def take_away(fleet: Fleet, name: str) -> None:
    """Stop a server as the example says, and start it again."""
    machine = fleet.machines[name]
    fleet.say(f"set server finger/{name} state maint")
    fleet.wait_for_rest(name)
    machine.systemctl("stop", SOCKET)
    machine.systemctl("start", SOCKET)
    fleet.say(f"set server finger/{name} state ready")


def test_servers_come_and_go(
    fleet: Fleet, servers: object, tell: Callable[[str, str], None]
) -> None:
    packages = [package(fleet.release, later=True), package(fleet.release)]
    with fleet.asking(Load(QUESTIONS, CLIENTS, PAUSE, least=QUERIES)) as asking:
        for number in range(ROUNDS):
            for name in SERVERS:
                for _ in range(RESTARTS):
                    fleet.machines[name].systemctl("restart", SERVICE)
                take_away(fleet, name)
                install(fleet.machines[name], packages[number % 2])
        found = asking.found()
    assert found.failed == []
    tell(
        f"{ROUNDS} × each of two balanced servers restarted {RESTARTS} times, taken away, upgraded"
        f" under {CLIENTS} clients",
        f"0 of {found.asked:,} lost",
    )


def test_servers_lose_their_power(
    fleet: Fleet, servers: object, tell: Callable[[str, str], None]
) -> None:
    cuts = []
    with fleet.asking(Load(QUESTIONS, CLIENTS, PAUSE, least=QUERIES)) as asking:
        for name in SERVERS:
            began = time.monotonic()
            fleet.kill(name)
            cuts.append((began, time.monotonic()))
            fleet.boot(name)
            (server,) = fleet.fingers(name)
            server.configure(CONFIGURATION)
            fleet.open(server)
            fleet.wait_until_well(name)
            server.wait_for_log(QUERIES // 10, FINGER_QUERY="moshez")
        found = asking.found()
    in_hands = [failed for failed in found.failed if failed[1] in (RESET, EMPTY)]
    assert [failed for failed in found.failed if failed not in in_hands] == []
    for query, outcome, began, ended in in_hands:
        assert any(began < after and before < ended for before, after in cuts), (
            f"{query} was {outcome} from {began} to {ended}, no cut in it: {cuts}"
        )
    assert len(in_hands) <= CLIENTS * len(cuts)
    assert found.outcomes[RIGHT] + len(in_hands) == found.asked
    tell(
        f"each of two balanced servers cut from its power under {CLIENTS} clients",
        f"0 of {found.asked:,} refused, wrong or late; {len(in_hands)} lost that they had in hands",
    )
