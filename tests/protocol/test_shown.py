# SPDX-License-Identifier: MIT
"""What may be seen of a person is what the long form shows of it."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fingerd_sd.protocol.entry import ATOMS, Link, Login, Person, Session, Status
from fingerd_sd.protocol.layout.long import MAX_TEXT, long_form
from fingerd_sd.protocol.links import MAX_LINK
from fingerd_sd.protocol.shown import shown
from fingerd_sd.protocol.text import CUT_MARK

from ..helpers.pages import ALICE, NOW, ZAHRA

THEN = datetime(2026, 1, 1, tzinfo=UTC)
VALUES = {"name", "directory", "shell", "office", "phone", "home_phone", "key", "project", "plan"}


@pytest.mark.parametrize("atom", ATOMS)
def test_only_the_atoms_of_the_audience_are_left(atom: str) -> None:
    seen = shown(ALICE, {atom}, NOW)
    assert {name for name in ATOMS if getattr(seen, name) is not None} == {atom}
    assert seen.login == "alice"
    assert seen.links == ALICE.links


def test_the_last_login_belongs_to_the_sessions() -> None:
    assert shown(ZAHRA, {"sessions"}, NOW).last_login == ZAHRA.last_login
    assert shown(ZAHRA, {"plan"}, NOW).last_login is None


def test_a_last_login_that_is_one_of_the_sessions_is_not_told_again() -> None:
    person = Person("a", sessions=(Session(THEN, "pts/0"),), last_login=Login(THEN, "pts/0"))
    assert shown(person, ATOMS, NOW).last_login is None


@pytest.mark.parametrize("person", [ALICE, ZAHRA, Person("a"), Person("a", name="", plan="")])
def test_the_long_form_of_what_is_shown_is_that_of_the_person(person: Person) -> None:
    assert long_form([shown(person, ATOMS, NOW)], ATOMS, NOW) == long_form([person], ATOMS, NOW)


@pytest.mark.parametrize("text", ["a\x1b[2Jb\x85", "a\r\nb\rc\n", "\ud800", "\u202eevil", "\t\n"])
def test_nothing_unprintable_is_left(text: str) -> None:
    atoms: dict[str, Any] = dict.fromkeys(VALUES, text)
    whole = Person("a" + text, **atoms, forward=text, status=Status(text))
    seen = shown(whole, ATOMS, NOW)
    for value in (seen.login, *(getattr(seen, atom) for atom in VALUES), seen.forward or ""):
        assert value is None or value.replace("\n", "").replace("\t", "").isprintable()
        (value or "").encode()
    assert long_form([seen], ATOMS, NOW) == long_form([whole], ATOMS, NOW)


def test_a_status_is_over_when_it_has_ended() -> None:
    person = Person("a", status=Status("busy", THEN))
    assert shown(person, ATOMS, THEN.timestamp()).status is None
    assert shown(person, ATOMS, THEN.timestamp() - 1).status == person.status


@pytest.mark.parametrize("idle", [math.inf, math.nan, None])
def test_an_idle_time_that_is_not_known_is_none(idle: float | None) -> None:
    person = Person("a", sessions=(Session(THEN, idle=idle, host=" a\nb\x07"),))
    assert shown(person, ATOMS, NOW).sessions == (Session(THEN, host="a b^G"),)


def test_a_note_stands_below_whatever_may_be_shown() -> None:
    person = Person("a", plan="x", note="It is\nold\x07")
    seen = shown(person, {"name"}, NOW)
    assert seen.note == "It is old^G"
    for one in (person, seen):
        assert long_form([one], {"name"}, NOW) == "Login: a\nIt is old^G\n"


def test_a_plan_that_is_too_long_is_cut_and_says_so() -> None:
    plan = shown(Person("a", plan="x" * (MAX_TEXT + 1)), ATOMS, NOW).plan
    assert plan == "x" * MAX_TEXT + "\n" + CUT_MARK


def test_a_link_that_cannot_be_shown_is_left_out() -> None:
    good = Link("me", "https://example.org/", "text/html")
    bad = [
        Link("me", "https://example.org/\r\nX: y"),
        Link("m\x00e", "https://example.org/"),
        Link("me", "https://example.org/", "text/\nhtml"),
        Link("me", "https://example.org/" + "x" * MAX_LINK),
        Link("", "https://example.org/"),
        Link("me", ""),
    ]
    assert shown(Person("a", links=(*bad, good)), ATOMS, NOW).links == (good,)


def test_what_is_for_others_is_not_told() -> None:
    person = Person("a", plan="x", origins={"plan": "/secret"}, beneath=True, lifetime=3.0)
    assert shown(person, ATOMS, NOW) == Person("a", plan="x", lifetime=3.0)


def test_what_is_shown_is_shown_again_as_it_is() -> None:
    for person in (ALICE, ZAHRA):
        seen = shown(person, ATOMS, NOW - timedelta(days=1).total_seconds())
        assert shown(seen, ATOMS, NOW) == seen
