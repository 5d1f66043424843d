# SPDX-License-Identifier: MIT
"""What a client of the web side may send."""

from __future__ import annotations

import json

from fingerd_sd.protocol.entry import Link, Person
from fingerd_sd.protocol.links import MAX_LINKS, MAX_PART, SCHEMES, fault, published
from fingerd_sd.protocol.query import is_name
from fingerd_sd.protocol.text import is_printable
from fingerd_sd.serving.web.forms import Place
from fingerd_sd.serving.web.webfinger import BadResource, jrd, parse

from .target import Target, any_text

HERE = Place("example.org", "https://example.org")
DOMAINS = (HERE.domain, "xn--bcher-kva.example")


def resource(octets: bytes) -> None:
    """Any query is bad, or asks about one user who can be asked for, or about nobody; and what is
    told of that user under any such name can be asked about in turn, and means the same.
    """
    try:
        asked = parse(any_text(octets))
    except BadResource:
        return
    assert bool(asked.user) is bool(asked.domain)
    if not asked.user:
        return
    assert is_name(asked.user)
    assert asked.domain.isascii()
    told = json.loads(jrd(asked, Person(asked.user), DOMAINS, (), HERE))
    for uri in (told["subject"], *told["aliases"]):
        assert uri.isascii()
        again = parse("resource=" + uri.replace("%", "%25").replace("&", "%26"))
        assert again.user == asked.user
        assert again.user_of(DOMAINS) == asked.user


def links(octets: bytes) -> None:
    """Whatever a store has as a user's links, what is shown of it does no harm."""
    try:
        value = json.loads(any_text(octets))
    except (ValueError, RecursionError):
        value = [{"rel": "me", "href": any_text(octets)}, {"rel": any_text(octets), "href": "x:y"}]
    shown = published(value)
    assert len(shown) <= MAX_LINKS
    for link in shown:
        assert fault(link) == ""
        assert all(part.isascii() and is_printable(part) and len(part) <= MAX_PART for part in link)
        assert not set(link.href) & set('"<>\\^`{|} ')
        assert link.href.partition(":")[0].lower() in SCHEMES
        assert link == Link(*link)


TARGETS = (
    Target(
        "resource",
        resource,
        (b"resource=", b"&rel=", b"acct:", b"mailto:", b"https://", b"/~", b"@", b"%25", b"%40",
         b"[::1]", b":80", "ü".encode(), b"xn--", b"example.org"),
        longest=256,
    ),
    Target(
        "links",
        links,
        (b'"rel":', b'"href":', b'"type":', b"javascript:", b"https://", b"%0a", b"\\u001b",
         b"http://openid.net/"),
        longest=512,
    ),
)  # fmt: skip
