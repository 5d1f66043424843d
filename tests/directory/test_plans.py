# SPDX-License-Identifier: MIT
"""{C} as a list of plans: who published last, and nobody whom a query by name does not show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from fingerd_sd.commands.inspecting.explain import explain
from fingerd_sd.directory.answer import Answer
from fingerd_sd.directory.lists import LOOK_UPS, MAX_PLANS
from fingerd_sd.directory.ruip import Ruip
from fingerd_sd.policy.audience import PLANS, Audience
from fingerd_sd.protocol.entry import ATOMS, Entry, Person, Text

from ..helpers.houses import Told, ruip, static
from ..helpers.wire import run

DENIED = b"Finger online user list denied\r\n"
NO_PLANS = b"No one has published a plan.\r\n"
BROKEN = b"Internal error in server\r\n"


@dataclass
class Board:
    """A source of `people`. Those in `published` did so at that second."""

    people: dict[str, Entry] = field(default_factory=dict)
    published: dict[str, float] = field(default_factory=dict)
    fails: Exception | None = None
    name: str = "board"
    timeout: float = 30.0
    lifetime: float = 60.0
    asked: list[str] = field(default_factory=list)

    async def find(self, user: str) -> Entry | None:
        self.asked.append(user)
        return self.people.get(user)

    async def recent(self, limit: int, /) -> Sequence[tuple[str, float]]:
        if self.fails is not None:
            raise self.fails
        newest = sorted(self.published.items(), key=lambda item: -item[1])
        return newest[:limit]


def planned(*logins: str) -> dict[str, Entry]:
    return {login: Person(login, plan=f"{login}'s plan") for login in logins}


def house(*boards: Board | Told) -> Ruip:
    return ruip(*boards, audiences=[Audience(show=frozenset(ATOMS), list=PLANS, rate=0)])


def ask(house: Ruip, line: bytes = b"\r\n") -> Answer:
    return run(house.answer(line, house.policy.client("192.0.2.1")))


def listed(house: Ruip) -> list[str]:
    """Return who is listed, in that order."""
    return [line.split()[0] for line in ask(house).octets.decode().splitlines()[1:]]


def test_the_newest_comes_first() -> None:
    board = Board(planned("alice", "bob", "carol"), {"alice": 1, "bob": 3, "carol": 2})
    assert listed(house(board)) == ["bob", "carol", "alice"]


def test_of_two_sources_the_newest_of_both_comes_first() -> None:
    one = Board(planned("alice", "bob"), {"alice": 1, "bob": 4}, name="one")
    two = Board(planned("carol"), {"carol": 3, "alice": 5}, name="two")
    assert listed(house(one, two)) == ["alice", "bob", "carol"]


def test_only_who_is_shown_with_a_plan_is_listed() -> None:
    people = planned("alice") | {"bob": Person("bob"), "carol": Text("a plan")}
    board = Board(people, dict.fromkeys(("alice", "bob", "carol", "gone", "a\nb", ""), 1.0))
    assert listed(house(board)) == ["alice"]
    assert "a\nb" not in board.asked


def test_very_many_are_cut_and_few_of_them_are_looked_up() -> None:
    logins = [f"u{number:06d}" for number in range(10_000)]
    board = Board(planned(*logins), {login: -number for number, login in enumerate(logins)})
    assert listed(house(board)) == [*logins[:MAX_PLANS], "[the"]
    assert MAX_PLANS < len(board.asked) <= MAX_PLANS + 1 + LOOK_UPS


def test_where_nobody_has_a_plan_the_answer_says_so() -> None:
    assert ask(house(Board())).octets == NO_PLANS
    assert ask(house(Board({"bob": Person("bob")}, {"bob": 1}))).octets == NO_PLANS


def test_where_nobody_can_publish_the_list_is_denied() -> None:
    answer = ask(house(Told(Person("alice", plan="x"))))
    assert (answer.octets, answer.result) == (DENIED, "refused")


@pytest.mark.usefixtures("caplog")
def test_a_source_that_fails_leaves_the_others() -> None:
    broken = Board(fails=ValueError("x"), name="broken")
    assert ask(house(broken)).octets == BROKEN
    assert listed(house(broken, Board(planned("alice"), {"alice": 1}))) == ["alice"]


def test_with_w_each_has_the_long_form() -> None:
    board = Board(planned("alice", "bob"), {"alice": 1, "bob": 3})
    shown = ask(house(board), b"/W\r\n").octets.decode()
    assert shown.index("Login: bob") < shown.index("Login: alice")
    assert "Plan:\r\nalice's plan\r\n" in shown


def test_a_list_of_who_is_here_is_another() -> None:
    sessions = ruip(Board(), static({"alice": Person("alice")}), audiences=[_SESSIONS])
    assert b"alice" in ask(sessions).octets
    assert ask(ruip(Board(planned("alice"), {"alice": 1}), audiences=[_SESSIONS])).octets == DENIED


_SESSIONS = Audience(list="sessions", rate=0)


def test_explain_tells_who_was_named_and_why_one_is_shown() -> None:
    rules = house(Board(planned("alice"), {"alice": 1, "gone": 2}))
    told = run(explain(rules.policy, rules.directory, b"\r\n", rules.policy.client("::1")))
    assert "list: board: 2" in told
    assert "list: gone: board: not known here" in told
    assert "alice: plan: the source" in told
