# SPDX-License-Identifier: MIT
"""WebFinger against RFC 7033: how a query is read, and what is told of a person."""

from __future__ import annotations

import json
import re
import textwrap
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerd_sd.config.web import LinkTemplate
from fingerd_sd.protocol.entry import Entry, Link, Person, Status, Text
from fingerd_sd.protocol.query import is_name
from fingerd_sd.serving.web.forms import Place
from fingerd_sd.serving.web.webfinger import (
    DESCRIBED_BY,
    MAX_RESOURCE,
    NAME,
    PROFILE_PAGE,
    STATUS,
    Asked,
    BadResource,
    jrd,
    parse,
    same_domain,
)

from ...helpers import needs


@pytest.fixture(autouse=True)
def _idna() -> None:
    needs.modules("idna")  # aiohttp brings it


HERE = Place("example.org", "https://example.org")
FORMS = Path(__file__).parents[3] / "docs/forms.md"
PAGE = {"rel": PROFILE_PAGE, "type": "text/html", "href": "https://example.org/~alice"}
JSON = {
    "rel": DESCRIBED_BY,
    "type": "application/json",
    "href": "https://example.org/~alice.json",
}
VCARD = {"rel": DESCRIBED_BY, "type": "text/vcard", "href": "https://example.org/~alice.vcf"}
ISSUER = "http://openid.net/specs/connect/1.0/issuer"
ALICE = Asked("acct:alice@example.org", "alice", "example.org")


def told(
    entry: Entry,
    asked: Asked = ALICE,
    templates: Sequence[LinkTemplate] = (),
    domains: Sequence[str] = ("example.org",),
    at: Place = HERE,
) -> Any:
    """Return what is told of a person, as a client reads it."""
    return json.loads(jrd(asked, entry, domains, templates, at).decode("utf-8"))


def rels(entry: Person, *asked: str, templates: Sequence[LinkTemplate] = ()) -> list[str]:
    """Return the relations of the links that are told."""
    links = told(entry, ALICE._replace(rels=asked), templates)["links"]
    return [link["rel"] for link in links]


# --- RFC 7033's own examples ---

CAROL = (
    "resource=acct%3Acarol%40example.com&"
    "rel=http%3A%2F%2Fopenid.net%2Fspecs%2Fconnect%2F1.0%2Fissuer"
)
BLOG = "resource=http%3A%2F%2Fblog.example.com%2Farticle%2Fid%2F314"
BOB = (
    "resource=acct%3Abob%40example.com&"
    "rel=http%3A%2F%2Fwebfinger.example%2Frel%2Fprofile-page&"
    "rel=http%3A%2F%2Fwebfinger.example%2Frel%2Fbusinesscard"
)


def test_section_3_1_is_read_as_the_rfc_says() -> None:
    assert parse(CAROL) == Asked("acct:carol@example.com", "carol", "example.com", (ISSUER,))


def test_section_3_1_is_answered_as_the_rfc_says() -> None:
    at = Place("example.com", "https://example.com")
    issuer = [LinkTemplate(ISSUER, "https://openid.example.com")]
    document = told(Person("carol"), parse(CAROL), issuer, ["example.com"], at)
    del document["aliases"]  # the page, which the RFC's carol has not
    assert document == {
        "subject": "acct:carol@example.com",
        "links": [{"rel": ISSUER, "href": "https://openid.example.com"}],
    }


def test_section_3_2_asks_about_no_user() -> None:
    asked = parse(BLOG)
    assert asked == Asked("http://blog.example.com/article/id/314")
    assert asked.user_of(["blog.example.com"]) is None


def test_section_4_3_is_answered_with_the_links_that_were_asked_for() -> None:
    asked = parse(BOB)
    at = Place("example.com", "https://www.example.com")
    bob = Person(
        "bob",
        links=(
            Link("http://webfinger.example/rel/profile-page", "https://www.example.com/~bob/"),
            Link("me", "https://www.example.net/bob"),
            Link(
                "http://webfinger.example/rel/businesscard", "https://www.example.com/~bob/bob.vcf"
            ),
        ),
    )
    document = told(bob, asked, (), ["example.com"], at)
    assert document == {
        "subject": "acct:bob@example.com",
        "aliases": ["https://www.example.com/~bob"],
        "links": [
            {
                "rel": "http://webfinger.example/rel/profile-page",
                "href": "https://www.example.com/~bob/",
            },
            {
                "rel": "http://webfinger.example/rel/businesscard",
                "href": "https://www.example.com/~bob/bob.vcf",
            },
        ],
    }


def test_section_4_1_parameters_stand_in_any_order() -> None:
    one, two, three = BOB.split("&")
    assert parse("&".join((two, one, three))) == parse(BOB)


# --- how a query is read ---

ASKED = [
    ("resource=acct:alice@example.org", "alice", "example.org"),
    ("resource=acct%3aalice%40example.org", "alice", "example.org"),
    ("%72esource=acct:alice@example.org", "alice", "example.org"),
    ("resource=ACCT:Alice@EXAMPLE.org", "Alice", "example.org"),
    ("resource=acct:alice@example.org.", "alice", "example.org"),
    ("resource=acct:alice@example.org:8443", "alice", "example.org"),
    ("resource=acct:alice+ops@example.org", "alice+ops", "example.org"),
    ("resource=acct:alice%2Bops@example.org", "alice+ops", "example.org"),
    ("resource=acct:a,b@example.org", "a,b", "example.org"),
    ("resource=acct:al%2569ce@example.org", "alice", "example.org"),
    ("resource=acct:Alice%2520Liddell@example.org", "Alice Liddell", "example.org"),
    ("resource=acct:b%C3%BCcher@b%C3%BCcher.example", "bücher", "xn--bcher-kva.example"),
    ("resource=acct:bücher@bücher.example", "bücher", "xn--bcher-kva.example"),
    ("resource=acct:x@B%C3%9CCHER.example", "x", "xn--bcher-kva.example"),
    ("resource=acct:x@b%25C3%25BCcher.example", "x", "xn--bcher-kva.example"),
    ("resource=acct:x@XN--BCHER-KVA.example", "x", "xn--bcher-kva.example"),
    ("resource=acct:x@fa%C3%9F.example", "x", "xn--fa-hia.example"),
    ("resource=mailto:alice@example.org", "alice", "example.org"),
    ("resource=Mailto%3Aalice@example.org", "alice", "example.org"),
    ("resource=https://example.org/~alice", "alice", "example.org"),
    ("resource=https://example.org/~alice/", "alice", "example.org"),
    ("resource=http://example.org/~alice", "alice", "example.org"),
    ("resource=HTTPS://Example.Org:443/%257Ealice", "alice", "example.org"),
    ("resource=https://192.0.2.1/~alice", "alice", "192.0.2.1"),
    ("resource=https://[2001:DB8::0:1]:8443/~alice", "alice", "2001:db8::1"),
    ("resource=acct:alice@example.org&&nosuch=1&x", "alice", "example.org"),
]
OF_NOBODY = [
    "urn:isbn:0451450523",
    "device:p1.example.com",
    "mailto:alice",
    "mailto:alice@example.org,bob@example.org",
    "mailto:alice@example.org?subject=x",
    "https://example.org",
    "https://example.org/",
    "https://example.org/alice",
    "https://example.org/~",
    "https://example.org/~alice/x",
    "https://example.org/~alice//",
    "https://example.org//~alice",
    "https://example.org/~alice?x",
    "https://example.org/~alice#me",
    "https://alice@example.org/~alice",
    "https://alice:secret@example.org/~alice",
    "acct:juliet%40capulet.example@example.org",
    "acct:%20@example.org",
    "acct:%2FW%20alice@example.org",
    "acct:a%0Ab@example.org",
    "acct:a%1Bb@example.org",
    "acct:alice@.",
    f"acct:alice@{'x' * 254}",
]
BAD = [
    ("", "name one resource"),
    ("rel=me", "name one resource"),
    ("Resource=acct:alice@example.org", "name one resource"),
    ("resource=acct:a@example.org&resource=acct:a@example.org", "name one resource"),
    ("resource=acct:a@e.org&%72esource=acct:b@e.org", "name one resource"),
    ("resource", "a URI"),
    ("resource=", "a URI"),
    ("resource=alice", "a URI"),
    ("resource=alice@example.org", "a URI"),
    ("resource=acct:", "a URI"),
    ("resource=mailto:", "a URI"),
    ("resource=1acct:alice@example.org", "a URI"),
    ("resource=acct:a%20b@example.org", "a URI"),
    ("resource=acct:a%0Ab@example.org", "a URI"),
    ("resource=acct:a%1Bb@example.org", "a URI"),
    ("resource=acct:a%E2%80%AEb@example.org", "a URI"),
    ("resource=acct:%3Cb%3E@example.org", "a URI"),
    ("resource=acct:alice", "acct:USER@HOST"),
    ("resource=acct:@example.org", "acct:USER@HOST"),
    ("resource=acct:alice@", "acct:USER@HOST"),
    ("resource=acct:a@b@example.org", "acct:USER@HOST"),
    ("resource=acct:alice@example.org:http", "acct:USER@HOST"),
    ("resource=https:example.org", "https://HOST/~USER"),
    ("resource=https:///~alice", "https://HOST/~USER"),
    ("resource=http://:80/~alice", "http://HOST/~USER"),
    ("resource=acct%3alice%4", "two hexadecimal digits"),
    ("resource=acct:alice@example.org&rel=%", "two hexadecimal digits"),
    ("resource=acct:alice@example.org&x=%zz", "two hexadecimal digits"),
    ("resource=acct:al%25zz@example.org", "two hexadecimal digits"),
    ("resource=acct:al%FFce@example.org", "not UTF-8"),
    ("resource=acct:al%C3@example.org", "not UTF-8"),
    ("resource=acct:al%ED%A0%80@example.org", "not UTF-8"),
    ("resource=acct:al%25FFce@example.org", "not UTF-8"),
    ("resource=acct:al\udcffce@example.org", "not UTF-8"),
    ("resource=acct:al\ud800ce@example.org", "not UTF-8"),
    ("resource=acct:alice@example.org&rel=%FF", "not UTF-8"),
    ("%FF=x&resource=acct:alice@example.org", "not UTF-8"),
    (f"resource=acct:{'a' * MAX_RESOURCE}@example.org", "octets"),
]


@pytest.mark.parametrize(("query", "user", "domain"), ASKED)
def test_a_resource_names_a_user_of_a_domain(query: str, user: str, domain: str) -> None:
    asked = parse(query)
    assert (asked.user, asked.domain) == (user, domain)
    assert asked.user_of(["other.example", domain]) == user
    assert asked.user_of(["other.example"]) is None


@pytest.mark.parametrize("resource", OF_NOBODY)
def test_any_other_uri_is_nobodys(resource: str) -> None:
    asked = parse(f"resource={quote(resource, safe='')}")
    assert asked == Asked(resource)
    assert asked.user_of(["example.org", ""]) is None


@pytest.mark.parametrize(("query", "why"), BAD)
def test_what_is_no_resource_is_said_in_a_sentence(query: str, why: str) -> None:
    with pytest.raises(BadResource) as caught:
        parse(query)
    assert why in caught.value.say
    assert caught.value.say.endswith(".")
    assert caught.value.say.isascii()


def test_relations_are_decoded_and_empty_ones_ignored() -> None:
    asked = parse("rel=me&resource=acct:a@e.org&rel=http%3A%2F%2Fe%2F%3Fx%3D1%26y&rel=&rel")
    assert asked.rels == ("me", "http://e/?x=1&y")


@pytest.mark.parametrize("domain", ["bücher.example", "xn--bcher-kva.example", "BÜCHER.example."])
def test_a_domain_is_configured_in_either_spelling(domain: str) -> None:
    assert parse("resource=acct:a@bücher.example").user_of([domain]) == "a"
    assert parse("resource=acct:a@xn--bcher-kva.example").user_of([domain]) == "a"


@pytest.mark.parametrize("name", ["", ".", "x" * 254, "\N{SNOWMAN}" * 100, "a\ud800b", "\u0301a.e"])
def test_what_is_no_domain_is_none(name: str) -> None:
    assert same_domain(name) == ""


PIECES = st.sampled_from(
    [
        "resource=",
        "rel=",
        "acct:",
        "https://",
        "mailto:",
        "alice",
        "@",
        "e.org",
        "/~",
        "%",
        "%25",
        "&",
        ":",
    ]
)


@given(st.text(max_size=60) | st.lists(PIECES, max_size=9).map("".join))
def test_any_query_is_read_or_is_bad(query: str) -> None:
    try:
        asked = parse(query)
    except BadResource:
        return
    assert bool(asked.user) is bool(asked.domain)
    assert not asked.user or is_name(asked.user)
    assert asked.domain.isascii()


# --- what is told of a person ---


def test_a_person_is_told_whole() -> None:
    alice = Person(
        "alice",
        name="Alice Liddell",
        status=Status("in Wonderland"),
        plan="not here",
        links=(
            Link("http://webfinger.net/rel/avatar", "https://example.org/alice.png", "image/png"),
            Link("me", "https://social.example/@alice"),
        ),
    )
    document = told(alice, templates=[LinkTemplate(ISSUER, "https://id.example.org")])
    assert document == {
        "subject": "acct:alice@example.org",
        "aliases": ["https://example.org/~alice"],
        "properties": {NAME: "Alice Liddell", STATUS: "in Wonderland"},
        "links": [
            PAGE,
            {"rel": ISSUER, "href": "https://id.example.org"},
            {
                "rel": "http://webfinger.net/rel/avatar",
                "type": "image/png",
                "href": "https://example.org/alice.png",
            },
            {"rel": "me", "href": "https://social.example/@alice"},
            JSON,
            VCARD,
        ],
    }


def test_the_documented_example_is_what_is_told() -> None:
    example = FORMS.read_text().split("## WebFinger\n")[1]
    (toml,) = re.findall(r"```toml\n(.*?)```", example, re.DOTALL)
    (answer,) = re.findall(r"^    \$ curl .*\n((?:    .*\n)+)", example, re.MULTILINE)
    links = [LinkTemplate(**link) for link in tomllib.loads(toml)["web"]["links"]]
    alice = Person(
        "alice", name="Alice Liddell", links=(Link("me", "https://social.example/@alice"),)
    )
    octets = jrd(ALICE, alice, ["example.org"], links, HERE)
    assert octets.decode() == textwrap.dedent(answer)


def test_a_person_with_nothing_has_a_page() -> None:
    assert told(Person("alice", name="")) == {
        "subject": "acct:alice@example.org",
        "aliases": ["https://example.org/~alice"],
        "links": [PAGE, JSON, VCARD],
    }


def test_a_text_has_a_page_under_the_name_that_was_asked_for() -> None:
    assert told(Text("Happy and well")) == told(Person("alice"))


def test_the_subject_is_the_login_and_not_the_alias_or_the_case_that_was_asked_for() -> None:
    document = told(Person("alice"), parse("resource=acct:LIDDELL@Example.Org"))
    assert document["subject"] == "acct:alice@example.org"


def test_every_domain_of_the_directory_is_an_alias() -> None:
    domains = ["Example.ORG", "bücher.example", "xn--bcher-kva.example", "2001:db8::1"]
    assert told(Person("alice"), domains=domains)["aliases"] == [
        "https://example.org/~alice",
        "acct:alice@xn--bcher-kva.example",
        "acct:alice@[2001:db8::1]",
    ]


def test_a_login_is_encoded_in_every_address() -> None:
    template = LinkTemplate("me", "https://id.example.org/{user}?again={user}")
    document = told(Person("a b/ü@+"), templates=[template])
    assert document["subject"] == "acct:a%20b%2F%C3%BC%40+@example.org"
    assert document["aliases"] == ["https://example.org/~a%20b%2F%C3%BC%40%2B"]
    assert document["links"][1]["href"] == (
        "https://id.example.org/a%20b%2F%C3%BC%40%2B?again=a%20b%2F%C3%BC%40%2B"
    )


def test_the_relations_that_are_asked_for_choose_the_links_and_nothing_else() -> None:
    alice = Person("alice", name="A", links=(Link("me", "https://e/1"), Link("me", "https://e/2")))
    assert rels(alice, "me") == ["me", "me"]
    assert rels(alice, "Me", "nosuch") == ["me", "me"]
    assert rels(alice, "me", PROFILE_PAGE) == [PROFILE_PAGE, "me", "me"]
    assert rels(alice, PROFILE_PAGE.upper()) == []
    whole, some = told(alice), told(alice, ALICE._replace(rels=("nosuch",)))
    assert some == whole | {"links": []}


def test_the_same_link_is_told_once() -> None:
    twice = Person("alice", links=(Link("me", "https://e/"), Link("me", "https://e/")))
    assert rels(twice, "me") == ["me"]


def test_what_the_administrator_says_of_a_relation_stands_over_what_a_person_says() -> None:
    alice = Person("alice", links=(Link("ME", "https://evil.example"), Link("other", "https://e/")))
    templates = [LinkTemplate("me", "https://good.example/{user}")]
    links = told(alice._replace(links=(Link("me", "https://evil.example"),)), templates=templates)
    assert "evil" not in json.dumps(links)
    assert rels(alice, templates=templates)[1:3] == ["me", "other"]


@pytest.mark.parametrize(
    "href", ["javascript:alert(1)", "data:text/html,x", "/~alice", "https://e/\x1b[31m", "x"]
)
def test_a_link_that_may_not_be_shown_is_left_out(href: str) -> None:
    link = Link("me", href)
    assert rels(Person("alice", links=(link,)), "me") == []
