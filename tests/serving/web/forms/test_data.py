# SPDX-License-Identifier: MIT
"""JSON: the schemas in docs/schema describe it, and nothing of a user becomes a member."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given

from fingerd_sd.protocol.entry import Entry, Person, Text
from fingerd_sd.protocol.layout.fields import field
from fingerd_sd.serving.web import forms
from fingerd_sd.serving.web.forms import Row

from ....helpers import needs
from ....helpers.pages import EVERYBODY, HERE, NOW, PLANS, SESSIONS
from .hostile import ENTRIES, TEXTS

SCHEMAS = Path(__file__).parents[4] / "docs/schema"
NAMES = ("person", "people", "sentence")


def held_to(name: str, octets: bytes) -> dict[str, Any]:
    """Return the value of `octets`, which docs/schema/`name`.json describes, and wholly."""
    needs.modules("jsonschema", "referencing")
    from jsonschema import Draft202012Validator
    from referencing import Registry, Resource

    schemas = {it: json.loads((SCHEMAS / f"{it}.json").read_text()) for it in NAMES}
    whole = {f"{it}.json": Resource.from_contents(strict(schemas[it])) for it in NAMES}
    registry = Registry().with_resources(whole.items())
    value = json.loads(octets, object_pairs_hook=once)
    Draft202012Validator.check_schema(schemas[name])
    Draft202012Validator(whole[f"{name}.json"].contents, registry=registry).validate(value)
    return cast(dict[str, Any], value)


def once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object whose names differ."""
    assert len(members) == len({name for name, _ in members})
    return dict(members)


def strict(schema: Any) -> Any:
    """Return a schema that allows no member that it does not describe."""
    if isinstance(schema, list):
        return [strict(it) for it in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {"additionalProperties": False} if schema.get("type") == "object" else {}
    return {name: strict(it) for name, it in schema.items()} | closed


@pytest.mark.parametrize("login", EVERYBODY)
def test_a_user_is_as_the_schema_says(login: str) -> None:
    value = held_to("person", forms.person("json", login, EVERYBODY[login], HERE))
    assert value["login"] == login
    assert value["address"] == f"{login}@example.org"


def test_a_note_is_there() -> None:
    value = held_to("person", forms.person("json", "a", Person("a", note="It is old"), HERE))
    assert value["note"] == "It is old"


def test_all_that_is_shown_is_there() -> None:
    value = json.loads(forms.person("json", "alice", EVERYBODY["alice"], HERE))
    schema = json.loads((SCHEMAS / "person.json").read_text())
    assert set(schema["properties"]) - set(value) == {"published", "text", "last_login", "note"}
    assert value["sessions"][0] == {
        "since": "2026-11-25T08:00:00Z",
        "tty": "pts/0",
        "host": "hare.example.net",
        "idle": 340,
        "messages": False,
    }
    assert value["status"]["until"] == "2026-11-25T16:00:00Z"
    assert value["mail"] == {"received": "2026-11-25T11:00:00Z", "read": "2026-11-24T11:00:00Z"}
    assert value["links"][2] == {"rel": "me", "href": "https://social.example/@alice"}


def test_what_is_not_shown_is_no_member() -> None:
    value = json.loads(forms.person("json", "a", Person("a", name="", sessions=()), HERE))
    assert value == {"login": "a", "address": "a@example.org", "name": "", "sessions": []}


def test_a_list_is_as_the_schema_says() -> None:
    plans = held_to("people", forms.people("json", PLANS, "plans", HERE))
    assert [user["published"] for user in plans["people"]] == [
        "2026-11-25T11:00:00Z",
        "2026-11-24T11:00:00Z",
        "2026-11-23T11:00:00Z",
    ]
    sessions = held_to("people", forms.people("json", SESSIONS, "sessions", HERE, cut=True))
    assert (sessions["kind"], sessions["cut"]) == ("sessions", True)
    assert held_to("people", forms.people("json", [], "plans", HERE))["people"] == []


def test_a_sentence_is_as_the_schema_says() -> None:
    octets = forms.sentence("json", 404, "No such user", HERE)
    assert held_to("sentence", octets) == {"status": 404, "text": "No such user"}


@given(ENTRIES, TEXTS)
def test_nothing_of_a_user_becomes_a_member(entry: Entry, login: str) -> None:
    value = held_to("person", forms.person("json", field(login), entry, HERE))
    assert value["login"] == field(login)
    known = (
        {"text"}
        if isinstance(entry, Text)
        else {atom for atom in value if getattr(entry, atom, None) is not None}
    )
    assert set(value) == {"login", "address"} | (known - {"login"})
    listed = held_to("people", forms.people("json", [Row(field(login), entry, NOW)], "plans", HERE))
    assert len(listed["people"]) == 1
