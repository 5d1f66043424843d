# SPDX-License-Identifier: MIT
"""The feed: a reader reads it back, ids last, and nothing of a user becomes an element."""

from __future__ import annotations

import re
import warnings
from html import unescape
from typing import Any
from xml.etree.ElementTree import fromstring

from hypothesis import given

from fingerd_sd.protocol.entry import Entry, Person, Status
from fingerd_sd.protocol.layout.fields import field
from fingerd_sd.serving.web import forms
from fingerd_sd.serving.web.forms import Row
from fingerd_sd.serving.web.forms.linking import linked

from ....helpers import needs
from ....helpers.pages import EVERYBODY, HERE, NOW, PLANS, seen
from .hostile import ENTRIES, TEXTS

ATOM = "{http://www.w3.org/2005/Atom}"
ENTRY = ["id", "title", "updated", "link", "author", "name", "uri", "content"]


def feed(rows: list[Row]) -> bytes:
    """Return the feed of some plans."""
    return forms.people("atom", rows, "plans", HERE)


def read(octets: bytes) -> Any:
    """Return the feed as feedparser reads it, which cleans what is unsafe."""
    needs.modules("feedparser")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Debian's are older than its Python
        import feedparser

        found = feedparser.parse(octets, sanitize_html=False)
    assert not found.bozo
    return found


def tags(octets: bytes) -> list[str]:
    """Return the elements of a feed below its root, in their order."""
    return [element.tag.removeprefix(ATOM) for element in fromstring(octets).iter()][1:]


def test_a_feed_is_read_back() -> None:
    found = read(feed(PLANS))
    assert found.version == "atom10"
    assert found.feed.title == "Plans at example.org"
    assert found.feed.id == "https://example.org/feed.atom"
    assert found.feed.updated == "2026-11-25T11:00:00Z"
    assert {(it.rel, it.href) for it in found.feed.links} == {
        ("self", "https://example.org/feed.atom"),
        ("alternate", "https://example.org/"),
    }
    assert [entry.author for entry in found.entries] == ["Alice Liddell", "زهرا کریمی", "ada"]
    assert found.entries[0].link == "https://example.org/~alice"
    assert found.entries[1].updated == "2026-11-24T11:00:00Z"
    assert found.entries[2].title == "Notes on the Analytical Engine, G."
    alice = EVERYBODY["alice"]
    assert isinstance(alice, Person)
    html = found.entries[0].content[0].value
    assert unescape(re.sub(r"<[^>]*>", "", html)) == alice.plan
    assert re.findall(r"<(\w+)", html) == ["pre", "a", "a", "a"]


def test_a_feed_of_nobody_is_a_feed() -> None:
    found = read(feed([]))
    assert found.entries == []
    assert found.feed.updated == "1970-01-01T00:00:00Z"


def test_who_has_no_plan_has_no_entry() -> None:
    assert (
        read(feed([Row("a", Person("a"), NOW), Row("m", EVERYBODY["moshez"], NOW)])).entries == []
    )


def test_another_plan_is_another_entry_and_another_status_is_none() -> None:
    def id_of(person: Person, at: float) -> str:
        (entry,) = read(feed([Row("a", seen(person), at)])).entries
        return str(entry.id)

    first = id_of(Person("a", plan="one"), NOW)
    assert first.startswith("https://example.org/~a#")
    assert id_of(Person("a", plan="one", status=Status("here")), NOW + 60) == first
    assert id_of(Person("a", plan="two"), NOW) != first


@given(ENTRIES, TEXTS)
def test_nothing_of_a_user_becomes_an_element(entry: Entry, login: str) -> None:
    octets = feed([Row(field(login), entry, NOW)])
    there = isinstance(entry, Person) and entry.plan
    start = ["id", "title", "updated", "link", "link"]
    assert tags(octets) == start + (["entry", *ENTRY] if there else [])
    if isinstance(entry, Person) and entry.plan:
        (content,) = fromstring(octets).iter(f"{ATOM}content")
        assert content.text == f"<pre>{linked(entry.plan)}</pre>"
