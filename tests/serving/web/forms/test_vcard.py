# SPDX-License-Identifier: MIT
"""vCards: another library reads what was written, and nothing of a user becomes a property."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerd_sd.protocol.entry import Entry, Link, Person, Text
from fingerd_sd.protocol.layout.fields import field, phone_number
from fingerd_sd.protocol.text import printable
from fingerd_sd.serving.web import forms
from fingerd_sd.serving.web.forms.vcard import MAX_LINE, component, escaped, folded

from ....helpers import needs
from ....helpers.pages import EVERYBODY, HERE, KEY, seen
from .hostile import ENTRIES, TEXTS

PROPERTIES = {
    *("BEGIN", "VERSION", "SOURCE", "FN", "NICKNAME", "ADR", "TEL", "PHOTO", "EMAIL", "URL"),
    *("NOTE", "KEY", "END"),
}


def card(login: str, entry: Entry) -> bytes:
    """Return the vCard of one user."""
    return forms.person("vcard", login, entry, HERE)


def unfolded(octets: bytes) -> list[str]:
    """Return the content lines of a vCard: RFC 6350 §3.2."""
    text = octets.decode()
    assert text.endswith("\r\n")
    assert "\n" not in text.replace("\r\n", "")
    assert "\r" not in text.replace("\r\n", "")
    return text.replace("\r\n ", "").split("\r\n")[:-1]


def read(octets: bytes) -> Any:
    """Return the vCard as vobject reads it: an object of lists of properties."""
    needs.modules("vobject")
    import vobject

    return vobject.readOne(octets.decode())


def texts(card: Any, name: str) -> list[Any]:
    """Return the values of a property."""
    return [it.value for it in getattr(card, f"{name}_list", [])]


def test_a_person_is_read_back() -> None:
    found = read(card("alice", EVERYBODY["alice"]))
    assert texts(found, "version") == ["4.0"]
    assert texts(found, "fn") == ["Alice Liddell"]
    assert texts(found, "nickname") == ["alice"]
    assert [it.street for it in texts(found, "adr")] == ["Hill 016"]
    assert texts(found, "tel") == ["908-555-1234", "01865 276492"]
    assert [it.params["TYPE"] for it in found.tel_list] == [["work"], ["home"]]
    person = EVERYBODY["alice"]
    assert isinstance(person, Person)
    assert texts(found, "note") == ["Project: Through the looking-glass", person.plan]
    assert texts(found, "source") == ["https://example.org/~alice.vcf"]
    assert texts(found, "url") == [
        "https://alice.example.org/",
        "https://social.example/@alice",
        "https://example.org/~alice",
    ]


def test_a_key_and_a_picture_are_addresses() -> None:
    lines = unfolded(card("alice", EVERYBODY["alice"]))
    (key,) = [line for line in lines if line.startswith("KEY")]
    start, _, data = key.partition(",")
    assert start == "KEY:data:application/pgp-keys;base64"
    assert base64.b64decode(data).decode() == KEY.removesuffix("\n")
    assert "PHOTO:https://example.org/cat.png" in lines


def test_a_text_is_a_note() -> None:
    found = read(card("moshez", EVERYBODY["moshez"]))
    assert texts(found, "fn") == ["moshez"]
    assert texts(found, "note") == ["Happy and well\n\nMore at gemini://moshez.example/.\n"]


# What tries to leave the property that it is in.
NAMES = [
    "Eve\r\nTEL:911",
    "Eve\nEND:VCARD\nBEGIN:VCARD",
    "Eve\\nTEL:911",
    "Eve; with, all: signs\\",
    "Eve\\",
    "Eve\u2028TEL:911\x85TEL:911\x0bTEL:911",
    "ä" * 100,
    "\N{RABBIT}" * 100,
]


@pytest.mark.parametrize("name", NAMES)
def test_what_tries_to_become_a_property_is_text(name: str) -> None:
    person = seen(Person("eve", name=name, office=name, phone=name, plan=name))
    octets = card("eve", person)
    names = [line.partition(":")[0].partition(";")[0] for line in unfolded(octets)]
    expected = ["SOURCE", "FN", "NICKNAME", "ADR", "TEL", "NOTE", "URL"]
    assert names == ["BEGIN", "VERSION", *expected, "END"]
    found = read(octets)
    assert texts(found, "fn") == [person.name]
    assert texts(found, "tel") == [person.phone]
    assert texts(found, "note") == [person.plan]
    assert [it.street for it in texts(found, "adr")] == [person.office]


@given(ENTRIES, TEXTS)
def test_nothing_of_a_user_becomes_a_property(entry: Entry, login: str) -> None:
    lines = unfolded(card(field(login), entry))
    names = [line.partition(":")[0].partition(";")[0] for line in lines]
    assert set(names) <= PROPERTIES
    once = ("BEGIN", "VERSION", "SOURCE", "FN", "NICKNAME", "END")
    assert all(names.count(name) == 1 for name in once)
    notes = [line.removeprefix("NOTE:") for line in lines if line.startswith("NOTE:")]
    if isinstance(entry, Text):
        assert notes == [escaped(printable(entry.text))]
    else:
        assert len(notes) == bool(entry.project) + bool(entry.plan)
        assert names.count("TEL") == bool(entry.phone) + bool(entry.home_phone)


@given(TEXTS.map(printable))
def test_what_is_escaped_is_read_as_it_was(text: str) -> None:
    plain = escaped(text)
    assert "\n" not in plain
    restored = plain.replace("\\\\", "\0").replace("\\,", ",").replace("\\n", "\n")
    assert restored.replace("\0", "\\") == text
    # A component ends at the first semicolon without a backslash that is not itself escaped.
    assert ";" not in component(text).replace("\\\\", "").replace("\\;", "")


@given(st.text().map(lambda text: printable(text).replace("\n", " ")))
def test_a_line_is_folded_between_characters(line: str) -> None:
    octets = folded(line)
    lines = octets.removesuffix(b"\r\n").split(b"\r\n")
    assert all(len(it) <= MAX_LINE for it in lines)
    assert all(it.startswith(b" ") for it in lines[1:])
    assert "".join([lines[0].decode(), *(it[1:].decode() for it in lines[1:])]) == line


@pytest.mark.parametrize("length", [74, 75, 76, 149, 150])
def test_a_line_has_75_octets_at_the_most(length: int) -> None:
    lines = folded("x" * length).split(b"\r\n")[:-1]
    assert {len(it) for it in lines[:-1]} <= {MAX_LINE}
    assert 1 < len(lines[-1]) <= MAX_LINE


def test_an_address_of_mail_is_one_and_its_subject_is_none() -> None:
    links = (
        Link("me", "mailto:eve@example.org?subject=a,b;c"),
        Link("me", "mailto:eve%0d%0aTEL:911@example.org"),
        Link("me", "javascript:alert(1)"),
    )
    lines = unfolded(card("eve", seen(Person("eve", links=links))))
    assert [line for line in lines if line.startswith(("EMAIL", "TEL", "URL"))] == [
        "EMAIL:eve@example.org",
        "EMAIL:eve%0d%0aTEL:911@example.org",
        "URL:https://example.org/~eve",
    ]
    assert phone_number("9085551234") == "908-555-1234"
