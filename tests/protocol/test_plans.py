# SPDX-License-Identifier: MIT
"""The list of plans: a line for each, which fits a screen, whatever is in a plan."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerd_sd.protocol.entry import ATOMS, Entry, Person, Text
from fingerd_sd.protocol.layout.plans import has_plan, plans_form
from fingerd_sd.protocol.reply import encode
from fingerd_sd.protocol.text import is_printable

from .test_reply import PERSONS
from .test_text import ANY_TEXT

NOW = datetime(2026, 11, 24, 18, 3).astimezone().timestamp()
DAY = 86400.0


def lines(*people: Person, show: str = "name plan", ago: float = 0.0) -> list[str]:
    """Return the list of `people`, who all published `ago` seconds ago, as lines."""
    rows: list[tuple[str, Entry]] = [(person.login, person) for person in people]
    times = {person.login: NOW - ago for person in people}
    return plans_form(rows, times, show.split(), NOW).removesuffix("\n").split("\n")


def test_a_row_tells_who_when_and_how_the_plan_begins() -> None:
    alice = Person("alice", name="Alice Liddell", plan="\n Curiouser\tand  curiouser!\nMore.")
    assert lines(alice, Person("bob", plan="B")) == [
        "Login     Name            Published     Plan",
        "alice     Alice Liddell   Nov 24 18:03  Curiouser and curiouser!",
        "bob                       Nov 24 18:03  B",
    ]


def test_who_published_long_ago_did_so_in_a_year() -> None:
    assert lines(Person("bob", plan="B"), show="plan", ago=200 * DAY)[1].split() == [
        *("bob", "May", "8", "2026", "B")
    ]


@pytest.mark.parametrize("show", ["plan", "name", "", "name plan"])
def test_a_name_and_a_plan_are_shown_only_where_the_audience_may_see_them(show: str) -> None:
    shown = "\n".join(lines(Person("bob", name="Robert", plan="Working."), show=show))
    assert [atom for atom in ("Robert", "Working.") if atom in shown] == [
        text for atom, text in (("name", "Robert"), ("plan", "Working.")) if atom in show
    ]


def test_a_long_line_is_cut_to_the_screen() -> None:
    [_, row] = lines(Person("bob", name="B" * 99, plan="p" * 9999))
    assert len(row) == 80
    assert row.endswith("p…")
    [_, row] = lines(Person("b" * 200, plan="p" * 9999))
    assert row.endswith(" " + "p" * 19 + "…")


@pytest.mark.parametrize("plan", [None, "", " ", "\n\t\r\n"])
def test_a_plan_without_a_word_is_none(plan: str | None) -> None:
    assert not has_plan(Person("bob", plan=plan))
    assert not has_plan(Text("a whole answer"))
    assert has_plan(Person("bob", plan=f"{plan or ''}x"))


@given(st.lists(PERSONS, min_size=1, max_size=4), st.frozensets(st.sampled_from(ATOMS)), ANY_TEXT)
def test_whatever_is_in_it_each_has_one_printable_line(
    people: list[Person], show: frozenset[str], login: str
) -> None:
    rows: list[tuple[str, Entry]] = [(login, person) for person in people]
    octets = encode(plans_form(rows, {login: NOW}, show, NOW))
    text = octets.decode("utf-8")
    assert text.count("\r\n") == len(people) + 1
    assert is_printable(text.replace("\r\n", ""))
