# SPDX-License-Identifier: MIT
"""Questions for one of several hosts whose sessions a store tells: who may ask, and what comes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from fingerd_sd.directory.answer import FAILED, FOUND, REFUSED, Answer
from fingerd_sd.directory.lookup import Directory
from fingerd_sd.directory.relay import Relay
from fingerd_sd.directory.ruip import Ruip
from fingerd_sd.directory.source import Mounted, SourceError
from fingerd_sd.policy.audience import PLANS, SESSIONS, Audience
from fingerd_sd.policy.rules import Policy
from fingerd_sd.protocol.entry import ATOMS, Absent, Entry, Person, Session
from fingerd_sd.protocol.query import Query

from ..helpers.wire import run

SINCE = datetime(2026, 11, 22, 4, 39, tzinfo=UTC)
ON = {"alice": ("login1", "login3"), "bob": ("login3",), "carol": ("login2",)}
MAY_LIST = Audience(show=frozenset(ATOMS), list=SESSIONS, rate=0)
MAY_FORWARD = MAY_LIST._replace(forward=True, forward_hosts=("login*",))


@dataclass
class Fleet:
    """People on several hosts. `silent`: hosts of which nothing is known; `broken`: fails."""

    on: Mapping[str, Sequence[str]] = field(default_factory=lambda: dict(ON))
    silent: Sequence[str] = ("login9",)
    broken: bool = False
    name: str = "fleet"
    timeout: float = 30.0
    lifetime: float = 2.0

    async def find(self, user: str) -> Entry | Absent:
        if user not in self.on:
            return Absent()
        sessions = (Session(SINCE, "pts/0", machine=machine) for machine in self.on[user])
        return Person(user, sessions=tuple(sessions))

    async def who(self) -> Sequence[str]:
        return list(self.on)

    async def who_at(self, host: str) -> Sequence[str] | None:
        if self.broken:
            raise SourceError("the store is down")
        if host in self.silent:
            return None
        return [user for user, machines in self.on.items() if host in machines]


class Other:
    """Another host that answers."""

    async def forward(self, query: Query, patterns: tuple[str, ...]) -> str:
        return f"relayed to {query.hosts[-1]}"


def ask(
    line: str,
    audience: Audience = MAY_LIST,
    hosts: Sequence[str] | None = ("login1", "login3", "login9"),
    fleet: Fleet | None = None,
    names: Sequence[str] = (),
    relay: Relay | None = None,
) -> Answer:
    """Return the answer to `line`; `hosts`: those of [store]."""
    policy = Policy([audience], "full", names, hosts)
    directory = Directory([Mounted(fleet or Fleet())])
    house = Ruip(policy, directory, time.monotonic, relay or Other())
    return run(house.answer(line.encode(), policy.client("192.0.2.1")))


def rows(answer: Answer) -> list[list[str]]:
    """Return login and host of each row."""
    lines = answer.octets.decode().splitlines()[1:]
    return [[line.split()[0], line.split()[-1]] for line in lines]


def test_a_list_has_all_hosts() -> None:
    assert rows(ask("", MAY_LIST._replace(show=frozenset({"sessions"})))) == [
        ["alice", "login1"],
        ["alice", "login3"],
        ["bob", "login3"],
        ["carol", "login2"],
    ]


@pytest.mark.parametrize("line", ["@login3", "@LOGIN3", "/W @login3"])
def test_a_list_of_one_host_has_that_one_alone(line: str) -> None:
    answer = ask(line, MAY_LIST._replace(show=frozenset({"sessions"})))
    assert answer.result == FOUND
    text = answer.octets.decode()
    assert "login1" not in text
    assert "carol" not in text
    assert text.count("login3") == 2


def test_a_user_at_one_host_has_the_sessions_there_alone() -> None:
    text = ask("alice@login1").octets.decode()
    assert text.count("On since") == 1
    assert "at login1" in text
    assert "On since" not in ask("carol@login1").octets.decode()
    assert ask("nobody@login1").octets == ask("nobody").octets


def test_it_is_that_host_alone_even_where_it_is_the_one_that_is_asked() -> None:
    assert b"login3" not in ask("@login1", names=["login1"]).octets
    assert b"login3" in ask("@login2", names=["login2"]).octets


@pytest.mark.parametrize("listing", ["", PLANS])
@pytest.mark.parametrize("line", ["@login3", "alice@login3"])
def test_who_may_not_list_may_not_ask_for_a_host(line: str, listing: str) -> None:
    answer = ask(line, MAY_LIST._replace(list=listing))
    assert answer.octets == b"Finger online user list denied\r\n"
    assert answer.result == REFUSED


@pytest.mark.parametrize("line", ["@login2", "@elsewhere", "alice@login2", "@login3@login1"])
def test_a_host_that_nobody_names_is_not_told_of(line: str) -> None:
    assert ask(line).octets == b"Finger forwarding service denied\r\n"


@pytest.mark.parametrize("fleet", [Fleet(), Fleet(broken=True, silent=())])
def test_of_a_host_that_is_silent_nothing_is_said(fleet: Fleet) -> None:
    for line in ("@login9", "alice@login9"):
        answer = ask(line, fleet=fleet)
        assert answer.octets == b"Nothing is known of that host now\r\n"
        assert answer.result == FAILED


def test_nobody_on_a_host_is_nobody() -> None:
    assert ask("@login1", fleet=Fleet({})).octets == b"No one logged on.\r\n"


def test_a_host_that_may_be_forwarded_to_is_told_of_or_asked() -> None:
    assert b"bob" in ask("@login3", MAY_FORWARD, hosts=()).octets
    assert ask("@login9", MAY_FORWARD, hosts=()).octets == b"relayed to login9\r\n"
    assert ask("@login9", MAY_FORWARD).octets == b"relayed to login9\r\n"


def test_without_a_store_it_is_forwarded_as_before() -> None:
    assert ask("@login3", MAY_FORWARD, hosts=None).octets == b"relayed to login3\r\n"
    only_forwards = MAY_FORWARD._replace(list="")
    assert ask("@login3", only_forwards, hosts=()).octets == b"relayed to login3\r\n"
