# SPDX-License-Identifier: MIT
"""Addresses become links; nothing else becomes markup."""

from __future__ import annotations

import re
from html import unescape

import pytest
from hypothesis import given

from fingerd_sd.protocol.text import printable
from fingerd_sd.serving.web.forms.linking import SCHEMES, encoded, is_link, linked

from .hostile import TEXTS

ANCHOR = re.compile(r'<a href="([^"<>]*)" rel="nofollow ugc noopener" dir="ltr">([^<>]*)</a>')


def as_html(text: str) -> str:
    """Return what `linked` makes, as a str: of the other type re.sub escapes the pieces."""
    return str(linked(text))


# What a text has, and which addresses of it become links.
TEXT = [
    ("See https://example.org/ now", ["https://example.org/"]),
    ("HTTP://EXAMPLE.ORG", ["HTTP://EXAMPLE.ORG"]),
    ("mailto:alice@example.org", ["mailto:alice@example.org"]),
    ("gemini://example.org/~alice", ["gemini://example.org/~alice"]),
    ("finger://example.org/alice", ["finger://example.org/alice"]),
    ("two: http://a.example,http://b.example", ["http://a.example,http://b.example"]),
    ("http://a.example http://b.example", ["http://a.example", "http://b.example"]),
    ("http://[2001:db8::1]:79/x", ["http://[2001:db8::1]:79/x"]),
    ("https://example.org/a?b=c&d=e#f", ["https://example.org/a?b=c&d=e#f"]),
    # What ends a sentence stays outside.
    ("Look at https://example.org/.", ["https://example.org/"]),
    ("https://example.org/a?!", ["https://example.org/a"]),
    ("https://example.org/... and on", ["https://example.org/"]),
    ("(https://example.org/a)", ["https://example.org/a"]),
    ("(https://example.org/a).", ["https://example.org/a"]),
    ("https://example.org/A_(b)", ["https://example.org/A_(b)"]),
    ("(https://example.org/A_(b))", ["https://example.org/A_(b)"]),
    ("<https://example.org/>", ["https://example.org/"]),
    ('"https://example.org/"', ["https://example.org/"]),
    ("*https://example.org/*", ["https://example.org/"]),
    ("[a](https://example.org/)", ["https://example.org/"]),
    ("詳しくはhttps://example.org/。", []),  # a letter before it: perhaps another scheme
    ("→ https://example.org/a。", ["https://example.org/a"]),
    # Other schemes, and what is none.
    ("javascript:alert(1)", []),
    ("JaVaScRiPt://example.org/%0aalert(1)", []),
    ("data:text/html,<script>", []),
    ("vbscript:x file:///etc/passwd ftp://example.org", []),
    ("xhttp://example.org view-source:https://example.org", ["https://example.org"]),
    ("http:/example.org http:example.org //example.org www.example.org", []),
    ("http:// https://. mailto: mailto:,", []),
    ("alice@example.org", []),
]


@pytest.mark.parametrize(("text", "links"), TEXT)
def test_addresses_become_links(text: str, links: list[str]) -> None:
    assert [unescape(shown) for _, shown in ANCHOR.findall(as_html(text))] == links
    assert unescape(ANCHOR.sub(r"\2", as_html(text))) == text


@given(TEXTS.map(printable))
def test_nothing_else_becomes_markup(text: str) -> None:
    html = as_html(text)
    for href, shown in ANCHOR.findall(html):
        assert unescape(href).partition(":")[0].lower() in SCHEMES
        assert unescape(href) == encoded(unescape(shown))
        assert is_link(unescape(shown))
    rest = ANCHOR.sub(r"\2", html)
    assert not set(rest) & set("<>\"'")
    assert unescape(rest) == text


@pytest.mark.parametrize(
    ("address", "there"),
    [
        ("https://example.org/ä b", "https://example.org/%C3%A4%20b"),
        ("https://example.org/100%", "https://example.org/100%25"),
        ("https://example.org/%C3%a4?a=b&c#d", "https://example.org/%C3%a4?a=b&c#d"),
    ],
)
def test_a_link_leads_to_an_address_in_ascii(address: str, there: str) -> None:
    assert encoded(address) == there


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "https://example.org/{uri}",
        "https://a.example b",
        "acct:a@b",
        "x",
        "",
    ],
)
def test_another_address_is_no_link(address: str) -> None:
    assert not is_link(address)


@pytest.mark.parametrize("ending", [")", ".", "(", "](", "http://", "%", "[", "http://a"])
def test_a_long_text_takes_no_longer_for_each_of_its_letters(ending: str) -> None:
    """A quadratic search would take minutes, and the test's own end would come first."""
    text = "https://example.org/" + ending * (131072 // len(ending))
    assert unescape(ANCHOR.sub(r"\2", as_html(text))) == text
