# SPDX-License-Identifier: MIT
"""What a source can say: values, and nothing that leaks from them."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from types import MappingProxyType

import pytest

from fingerd_sd.entry import ATOMS, Absent, Link, Person, Text


def test_every_atom_of_a_person_can_be_shown_or_hidden() -> None:
    own = {"login", "last_login", "links", "origins"}  # the second belongs to sessions
    assert {field.name for field in fields(Person)} - own <= set(ATOMS)


def test_an_atom_is_named_once() -> None:
    assert len(set(ATOMS)) == len(ATOMS)


@pytest.mark.parametrize("value", [Person("alice"), Text("hello"), Absent(), Link("self", "/")])
def test_values_do_not_change(value: object) -> None:
    name = fields(value)[0].name  # type: ignore[arg-type]
    with pytest.raises(FrozenInstanceError):
        setattr(value, name, "another")


def test_where_an_atom_came_from_is_no_part_of_the_person() -> None:
    origins = MappingProxyType({"plan": "/home/alice/.plan"})
    assert Person("alice", origins=origins) == Person("alice")
    assert "/home/alice" not in repr(Person("alice", origins=origins))


def test_where_a_text_came_from_is_no_part_of_it() -> None:
    assert Text("hello", "fingerd.toml: users.alice") == Text("hello")


def test_what_is_not_known_of_a_person_is_none() -> None:
    person = Person("alice")
    known = {field.name: getattr(person, field.name) for field in fields(Person)}
    assert {name for name, value in known.items() if value is not None} == {
        "login",
        "links",
        "origins",
    }
