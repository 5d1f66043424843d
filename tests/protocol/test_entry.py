# SPDX-License-Identifier: MIT
"""What a source can say: values, and nothing that leaks from them."""

from __future__ import annotations

import pytest

from fingerd_sd.protocol.entry import ATOMS, Absent, Link, Person, Text


def test_every_atom_of_a_person_can_be_shown_or_hidden() -> None:
    own = {
        "login",
        "last_login",
        "links",
        "origins",
        "beneath",
        "lifetime",
        "uid",
        "note",
    }  # 2nd: of sessions
    assert set(Person._fields) - own <= set(ATOMS)


def test_an_atom_is_named_once() -> None:
    assert len(set(ATOMS)) == len(ATOMS)


@pytest.mark.parametrize("value", [Person("alice"), Text("hello"), Absent(), Link("self", "/")])
def test_values_do_not_change(value: Person | Text | Absent | Link) -> None:
    with pytest.raises(AttributeError):
        setattr(value, value._fields[0], "another")


def test_what_is_shared_by_all_persons_does_not_change() -> None:
    with pytest.raises(TypeError):
        Person("alice").origins["plan"] = "elsewhere"  # type: ignore[index]  # as it says


def test_what_is_not_known_of_a_person_is_none() -> None:
    person = Person("alice")
    known = {name for name, value in person._asdict().items() if value is not None}
    assert known == {
        "login",
        "links",
        "origins",
        "beneath",
    }
