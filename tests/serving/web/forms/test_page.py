# SPDX-License-Identifier: MIT
"""The pages: what they say, and that nothing of a user gets out of its place in them."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given

from fingerd_sd.protocol.entry import Entry, Link, Person, Text
from fingerd_sd.protocol.layout.fields import field
from fingerd_sd.protocol.text import printable
from fingerd_sd.serving.web import forms
from fingerd_sd.serving.web.forms import Kind, Place, Row
from fingerd_sd.serving.web.forms.linking import SCHEMES
from fingerd_sd.serving.web.target import Target, target_of

from ....helpers import needs
from ....helpers.markup import Page
from ....helpers.pages import ADA, EVERYBODY, HERE, PAGES, PLANS, SESSIONS, seen, site
from .hostile import ENTRIES, TEXTS

needs.modules("jinja2")

KINDS: tuple[Kind, ...] = ("sessions", "plans")


def page(login: str, entry: Entry) -> Page:
    """Return the page of one user."""
    return Page(forms.person("html", login, entry, HERE, listed=True))


def foreign(found: Page) -> list[dict[str, str]]:
    """Return the links that users wrote: the others have a type, or lead within the site."""
    return [link for link in found.links if "rel" in link]


def test_a_page_has_the_note() -> None:
    assert "It is <old>" in page("a", Person("a", note="It is <old>")).texts["p"]


@pytest.mark.parametrize("login", EVERYBODY)
def test_a_page_says_all_that_is_shown(login: str) -> None:
    entry = EVERYBODY[login]
    found = page(login, entry)
    text = found.texts["html"][0]
    if isinstance(entry, Text):
        known = [entry.text.strip("\n")]
    else:
        atoms = ("name", "office", "directory", "shell", "home_phone", "key", "forward", "project")
        known = [getattr(entry, atom) for atom in (*atoms, "plan")]
        known += [link.href for link in entry.links]
    assert [value for value in known if value and value not in text] == []
    assert f"{login}@example.org" in text


def test_a_plan_is_on_the_page_as_it_was_written() -> None:
    plan = "  indented\n\n\ttab & <b>\n"
    assert page("a", seen(Person("a", plan=plan))).texts["pre"] == [plan.removesuffix("\n")]


@given(ENTRIES)
def test_no_octets_of_a_user_become_markup(entry: Entry) -> None:
    login = entry.login if isinstance(entry, Person) else "<b>"
    found = page(login, entry)
    for link in foreign(found):
        assert link["href"].partition(":")[0].lower() in SCHEMES
        assert {"nofollow", "ugc", "noopener"} <= set(link["rel"].split())
    texts = (
        [printable(entry.text).strip("\n")]
        if isinstance(entry, Text)
        else [text for text in (entry.project, entry.plan, entry.key) if text]
    )
    # A parser drops a line end at the start of a preformatted text: HTML, 13.2.6.4.7.
    assert [text.lstrip("\n") for text in found.texts.get("pre", [])] == [
        it.lstrip("\n") for it in texts
    ]


@given(ENTRIES, TEXTS)
def test_the_shape_of_a_page_does_not_follow_from_texts(entry: Entry, login: str) -> None:
    found = page(field(login), entry)
    if isinstance(entry, Text):
        assert found.shape == page("a", Text("a")).shape
    else:
        plain: dict[str, Any] = {
            atom: "x" for atom in ("name", "plan", "project", "key") if getattr(entry, atom)
        }
        assert found.shape == page("a", entry._replace(**plain)).shape


@given(ENTRIES, TEXTS)
def test_no_octets_of_a_user_become_markup_in_a_list(entry: Entry, login: str) -> None:
    for kind in KINDS:
        rows = [Row(field(login), entry, 0.0), Row("b", seen(ADA), 1e9)]
        found = Page(forms.people("html", rows, kind, HERE))
        assert found.shape.count("li") == 2 + {"sessions": 2, "plans": 3}[kind]
        for link in foreign(found):
            assert link["href"].partition(":")[0].lower() in SCHEMES


@given(TEXTS)
def test_no_octets_become_markup_in_a_sentence(text: str) -> None:
    found = Page(forms.sentence("html", 400, printable(text), HERE))
    assert found.texts["h1"] == [printable(text)]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_asks_no_other_host_for_anything(path: str) -> None:
    octets = site()[path].octets.decode()
    assert set(re.findall(r"<(?:img|script|style|iframe|object|form|base)\b", octets)) == set()
    for tag in re.findall(r"<(?:link|source|meta)\b[^>]*>", octets):
        href = re.search(r'href="([^"]*)"', tag)
        if href is not None:
            parts = urlsplit(href[1])
            assert (parts.scheme, parts.netloc) == ("", ""), tag
    assert "style=" not in octets
    assert " on" not in "".join(re.findall(r"<[^>]*>", octets))


@pytest.mark.parametrize("path", PAGES)
def test_a_page_leads_only_to_what_is_there(path: str) -> None:
    there = site()
    for link in Page(there[path].octets).links:
        if "rel" not in link:
            assert f"/{link['href'].removeprefix('./')}" in there


def test_an_avatar_is_a_link_and_no_image() -> None:
    avatar = Link("http://webfinger.net/rel/avatar", "https://img.example/a.png", "image/png")
    found = page("a", seen(Person("a", links=(avatar,))))
    assert [link["href"] for link in foreign(found)] == ["https://img.example/a.png"]
    assert "Avatar" in found.texts["dt"]


def test_who_has_a_profile_elsewhere_says_that_it_is_the_same_person() -> None:
    found = page("alice", EVERYBODY["alice"])
    mine = [link["href"] for link in foreign(found) if "me" in link["rel"].split()]
    assert mine == ["https://alice.example.org/", "https://social.example/@alice"]


@pytest.mark.parametrize("href", ["javascript:alert(1)", "data:text/html,x", "acct:a@b.example"])
def test_a_link_of_another_scheme_is_text(href: str) -> None:
    found = page("a", Person("a", links=(Link("me", href),)))
    assert foreign(found) == []
    assert href in found.texts["dd"]


def test_a_name_that_an_address_cannot_hold_is_encoded_there() -> None:
    octets = forms.person("html", 'a/b?"c', seen(Person('a/b?"c')), HERE)
    assert b'href="~a%2Fb%3F%22c.json"' in octets


def test_a_name_with_a_suffix_is_no_form_of_another_user() -> None:
    octets = forms.person("html", "a.txt", seen(Person("a.txt")), HERE)
    assert b'href="~a%2Etxt.txt"' in octets
    assert target_of("/~a%2Etxt") == Target("user", b"a.txt")
    assert target_of("/~a%2Etxt.txt") == Target("user", b"a.txt", "text")
    assert b'href="~j.doe.txt"' in forms.person("html", "j.doe", seen(Person("j.doe")), HERE)


def test_only_who_may_have_the_list_is_led_there() -> None:
    hidden = Page(forms.person("html", "ada", EVERYBODY["ada"], HERE))
    assert [link for link in hidden.links if link["href"] == "./"] == []
    assert [link for link in page("ada", EVERYBODY["ada"]).links if link["href"] == "./"] != []


def test_lists_have_the_order_that_they_are_given() -> None:
    sessions = Page(forms.people("html", SESSIONS, "sessions", HERE, cut=True))
    users = [it["href"] for it in sessions.links if it["href"][0] == "~"]
    assert users == ["~ada", "~alice", "~moshez", "~zahra"]
    assert "Happy and well" in sessions.texts["main"][0]
    assert "[the rest was cut off]" in sessions.texts["main"][0]
    plans = Page(forms.people("html", PLANS, "plans", HERE))
    assert [it["href"] for it in plans.links if it["href"][0] == "~"] == [
        "~alice",
        "~zahra",
        "~ada",
    ]
    assert "Down the rabbit-hole until Friday" in plans.texts["main"][0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_list_of_nobody_says_so(kind: Kind) -> None:
    said = {"sessions": "No one logged on.", "plans": "No one has published a plan."}
    assert said[kind] in Page(forms.people("html", [], kind, HERE)).texts["main"][0]


def test_an_error_is_one_sentence_and_finds_its_stylesheet_from_anywhere() -> None:
    octets = forms.sentence("html", 404, "No such user", Place("example.org", "https://b.example"))
    found = Page(octets)
    assert found.texts["body"][0].strip() == "No such user"
    assert found.links == []
    assert b'href="/style.css?' in octets


def test_the_address_of_the_stylesheet_changes_with_it() -> None:
    style, version = forms.style()
    assert f'href="style.css?{version}"'.encode() in site()["/"].octets
    assert style.startswith(b"/*")
    for foreign_part in (b"url(", b"@import", b"http"):
        assert foreign_part not in style
