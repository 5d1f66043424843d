# SPDX-License-Identifier: MIT
"""Which links may be shown, and which a user may publish."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fingerd_sd.protocol.entry import Link
from fingerd_sd.protocol.links import (
    MAX_LINK,
    MAX_LINKS,
    MAX_PART,
    SCHEMES,
    fault,
    fault_of_user,
    published,
    showable,
    told,
)

GOOD = [
    Link("me", "https://social.example/@alice"),
    Link("self", "https://social.example/users/alice", "application/activity+json"),
    Link(
        "self",
        "https://social.example/users/alice",
        'application/ld+json; profile="https://www.w3.org/ns/activitystreams"',
    ),
    Link("http://webfinger.net/rel/avatar", "https://example.org/a.png?s=1#x", "image/png"),
    Link("tag:example.org,2026:rel", "http://[2001:db8::1]:8080/%7Ealice"),
    Link("me", "HTTPS://EXAMPLE.ORG/"),
    Link("author", "mailto:alice@example.org?subject=Hi%20there"),
    Link("me", "acct:alice@example.org"),
    Link("me", "xmpp:alice@example.org"),
    Link("me", "matrix:u/alice:example.org"),
    Link("me", "openpgp4fpr:0123456789ABCDEF0123456789ABCDEF01234567"),
    Link("me", "gemini://example.org/~alice/"),
    Link("me", "finger://example.org/alice"),
    Link("me", "tel:+1-201-555-0123"),
    Link("me", "did:plc:z72i7hdynmk6r22z27h6tvur"),
]
BAD = [
    (Link("me", "javascript:alert(1)"), "href begins with none of https:, "),
    (Link("me", "JavaScript:alert(1)"), "href begins with none of"),
    (Link("me", "data:text/html,x"), "href begins with none of"),
    (Link("me", "file:///etc/passwd"), "href begins with none of"),
    (Link("me", "vbscript:x"), "href begins with none of"),
    (Link("me", " javascript:x"), "href begins with none of"),
    (Link("me", "/~alice"), "href begins with none of"),
    (Link("me", "//example.org/"), "href begins with none of"),
    (Link("me", "example.org"), "href begins with none of"),
    (Link("me", ""), "href begins with none of"),
    (Link("me", "https:"), "href has characters that a URI cannot have"),
    (Link("me", "https:example.org"), "href names no host: https://HOST/"),
    (Link("me", "https:///x"), "href names no host"),
    (Link("me", "https://e/\x1b[31m"), "href has characters"),
    (Link("me", "https://e/\nX: y"), "href has characters"),
    (Link("me", 'https://e/"><script>'), "href has characters"),
    (Link("me", "https://e/a b"), "href has characters"),
    (Link("me", "https://e/%"), "href has characters"),
    (Link("me", "https://e/%g0"), "href has characters"),
    (Link("me", "https://bücher.example/"), "href has characters"),
    (Link("me", "https://e/\N{RIGHT-TO-LEFT OVERRIDE}"), "href has characters"),
    (Link("me", "https://e/\n"), "href has characters"),
    (Link("", "https://e/"), "rel is no relation"),
    (Link("Me", "https://e/"), "rel is no relation"),
    (Link("me you", "https://e/"), "rel is no relation"),
    (Link("me\n", "https://e/"), "rel is no relation"),
    (Link("http://e/ x", "https://e/"), "rel is no relation"),
    (Link("me", "https://e/", "html"), "type is no media type"),
    (Link("me", "https://e/", 'text/html" onload="x'), "type is no media type"),
    (Link("me", "https://e/", "text/html\n"), "type is no media type"),
    (Link("me", "https://e/" + MAX_LINK * "x"), f"href has more than {MAX_LINK} characters"),
    (Link(MAX_LINK * "x" + "y", "https://e/"), f"rel has more than {MAX_LINK} characters"),
]


@pytest.mark.parametrize("link", GOOD)
def test_a_link_that_does_no_harm_is_shown(link: Link) -> None:
    assert fault(link) == fault_of_user(link) == ""
    assert published(json.loads(json.dumps(told([link])))) == (link,)


@pytest.mark.parametrize(("link", "why"), BAD)
def test_any_other_link_is_shown_nowhere(link: Link, why: str) -> None:
    assert fault(link).startswith(why)
    assert fault_of_user(link)
    assert showable([GOOD[0], link, GOOD[1]]) == (GOOD[0], GOOD[1])
    assert published(told([link])) == ()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_that_is_named_can_be_used(scheme: str) -> None:
    assert fault(Link("me", f"{scheme}://example.org/alice")) == ""


def test_what_a_user_publishes_is_shorter_than_what_an_administrator_writes() -> None:
    long = Link("me", "https://e/".ljust(MAX_PART + 1, "x"))
    assert fault(long) == ""
    assert fault_of_user(long) == f"href has more than {MAX_PART} characters: shorten it"
    assert fault_of_user(Link("me", long.href[:MAX_PART])) == ""


@pytest.mark.parametrize(
    "rel",
    [
        "http://openid.net/specs/connect/1.0/issuer",
        "https://OpenID.net/specs/connect/1.0/issuer",
        "http://openid.net:80/specs/connect/1.0/issuer",
        "http://specs.openid.net/auth/2.0/provider",
    ],
)
def test_no_user_says_who_vouches_for_the_accounts_of_the_domain(rel: str) -> None:
    link = Link(rel, "https://id.example.org")
    assert fault(link) == ""  # the administrator may
    assert "administrator" in fault_of_user(link)
    assert published(told([link])) == ()


def test_a_relation_that_only_begins_alike_is_a_users() -> None:
    assert fault_of_user(Link("http://openid.net.example/x", "https://e/")) == ""


@pytest.mark.parametrize(
    "value",
    [
        None, True, 7, "x", {}, {"rel": "me"}, [None], [["me", "https://e/"]], ["rel"],
        [{"rel": "me"}], [{"href": "https://e/"}], [{"rel": 1, "href": "https://e/"}],
        [{"rel": "me", "href": "https://e/", "type": None}],
    ],
)  # fmt: skip
def test_what_is_no_link_is_left_out(value: Any) -> None:
    assert published(value) == ()


def test_a_store_with_too_many_links_shows_the_first() -> None:
    links = [Link("me", f"https://e/{number}") for number in range(MAX_LINKS + 1)]
    assert published(told(links)) == tuple(links[:MAX_LINKS])
