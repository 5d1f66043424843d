# SPDX-License-Identifier: MIT
"""The rounds: every server at every number of clients, one after the other, round after round.

All servers run for the whole time, idle but for their turn; the order turns from round to round,
so that what the machine does meanwhile meets all alike, and a ratio is taken within a round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from .load import measure
from .peers import Peer
from .plan import Plan
from .process import Server, ServerError, other_work

LATE = "late"  # 256 clients that ask 10 ms after connect(), when they have been accepted
LATE_CLIENTS = 256
LATE_WAIT = 10  # ms
FULL = "full"  # 256 clients, while the servers' core has other work: so the server is waited for
FULL_CLIENTS = 256
JUNK_CLIENTS = 64

Round = dict[str, dict[str, dict[str, float]]]  # peer → number of clients, LATE or FULL → sample


def start(stack: ExitStack, peers: Sequence[Peer], missing: dict[str, str]) -> list[Server]:
    """Start all `peers` and return those that answer; why not goes into `missing`."""
    servers = []
    for peer in peers:
        try:
            servers.append(stack.enter_context(Server(peer)))
        except (ServerError, OSError) as error:
            missing[peer.name] = str(error)
    return servers


def rounds(servers: list[Server], plan: Plan, tell: Callable[[str], None]) -> list[Round]:
    """Return the samples of each round."""
    for server in servers:  # what is done once only is no part of what a query costs
        measure(server, 16, plan.count(server.peer, 16) // 4 + 1)
    found: list[Round] = []
    for number in range(plan.rounds):
        this: Round = {server.peer.name: {} for server in servers}
        for clients in plan.clients:
            for server in servers[number % len(servers) :] + servers[: number % len(servers)]:
                count = plan.count(server.peer, clients)
                sample = measure(server, clients, count)
                this[server.peer.name][str(clients)] = sample.as_dict()
        for server in servers:
            count = plan.count(server.peer, LATE_CLIENTS)
            if not server.peer.forks:
                late = measure(server, LATE_CLIENTS, count, mode="late", wait=LATE_WAIT)
                this[server.peer.name][LATE] = late.as_dict()
        with other_work():
            for server in servers[number % len(servers) :] + servers[: number % len(servers)]:
                full = measure(server, FULL_CLIENTS, plan.count(server.peer, FULL_CLIENTS))
                this[server.peer.name][FULL] = full.as_dict()
        found.append(this)
        tell(f"round {number + 1} of {plan.rounds}")
    return found


def junk(servers: list[Server], plan: Plan) -> dict[str, dict[str, dict[str, float]]]:
    """Return, for each server, what becomes of answers when clients send more than a line: "junk":
    octets behind the line and again while the answer goes out; "trail": a second segment."""
    found = {}
    for server in servers:
        count = min(plan.count(server.peer, JUNK_CLIENTS), plan.junk)
        found[server.peer.name] = {
            mode: measure(server, JUNK_CLIENTS, count, mode=mode).as_dict()
            for mode in ("junk", "trail")
        }
    return found
