# SPDX-License-Identifier: MIT
"""What the keeper says of files that it cannot see."""

from __future__ import annotations

import pytest

from fingerd_sd.directory.lookup import Directory
from fingerd_sd.directory.source import Mounted
from fingerd_sd.policy.audience import Audience
from fingerd_sd.protocol.entry import Absent, Person
from fingerd_sd.serving.publishing.views import Seen, View, views

from ...helpers.wire import run

UNKNOWN = "a file that finger may read is shown all the same, which is not known here"


class Published:
    """A source in which alice has a plan, and a key that nobody may see."""

    name, timeout, lifetime = "published", 5.0, 0.0

    async def find(self, user: str) -> Person | Absent:
        if user != "alice":
            return Absent("has published nothing")
        return Person("alice", plan="p\n", key="k\n", beneath=True)


class Accounts:
    """A source whose homes cannot be searched from here."""

    name, timeout, lifetime = "accounts", 5.0, 0.0

    async def find(self, user: str) -> Person | Absent:
        return Absent("the home cannot be searched")

    async def find_consented(self, user: str) -> Person | Absent:
        return Person("alice", name="Alice")


def view(login: str, of_homes: frozenset[str] | None) -> View:
    """Return what everyone gets; `of_homes`: for whom Accounts is; None: there is none."""
    sources = [Mounted(Published())]
    if of_homes is not None:
        sources.append(Mounted(Accounts(), of_homes))
    (seen,) = run(views(Seen((Audience(),), Directory(sources)), login))
    return seen


def test_an_atom_that_a_file_may_have_is_told() -> None:
    told = view("alice", frozenset())
    assert "Plan:\np\n" in told["text"]
    assert told["hidden"] == {
        "key": 'not in show of the audience "everyone"',
        "project": f"not published; {UNKNOWN}",
    }


@pytest.mark.parametrize("of_homes", [None, frozenset({"office"})])
def test_where_no_file_is_read_none_is_told_of(of_homes: frozenset[str] | None) -> None:
    assert set(view("alice", of_homes)["hidden"]) == {"key"}


def test_who_has_published_nothing_may_be_shown_by_a_file() -> None:
    told = view("bob", frozenset())
    assert told["text"] == "No such user\n"
    assert told["hidden"]["everything"].endswith(f"the home cannot be searched; {UNKNOWN}")
