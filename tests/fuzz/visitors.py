# SPDX-License-Identifier: MIT
"""What a client of the web side may send."""

from __future__ import annotations

import json
import re
from ipaddress import ip_address, ip_network
from urllib.parse import quote

from fingerd_sd.config.server import Limits
from fingerd_sd.policy.rules import Policy
from fingerd_sd.protocol.entry import Absent, Link, Person
from fingerd_sd.protocol.links import MAX_LINKS, MAX_PART, SCHEMES, fault, published
from fingerd_sd.protocol.query import is_name
from fingerd_sd.protocol.text import is_printable
from fingerd_sd.serving.web.client import HIDDEN, Proxies, UnclearError
from fingerd_sd.serving.web.forms import Place
from fingerd_sd.serving.web.http.heads import MAX_HEAD, Heads, Refusal
from fingerd_sd.serving.web.target import (
    OF_PEOPLE,
    OF_USER,
    TargetError,
    preferred,
    target_of,
)
from fingerd_sd.serving.web.webfinger import BadResource, jrd, parse

from ..helpers.houses import Told
from .target import SEPARATOR, Target, any_text, parts, quiet

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


PROXIES = Proxies((ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")))


def proxied(octets: bytes) -> None:
    """Whatever a trusted proxy sends, the client is one address that the policy knows, or unclear;
    never the proxy, unless that names none but proxies, and never what stands left of the client.
    """
    forwarded, others = ([any_text(part)] if part else [] for part in parts(octets, 2))
    try:
        client = PROXIES.client("", forwarded, others)
    except UnclearError:
        return
    if not forwarded and not others:
        assert client == ""
        return
    known = Policy([]).client(client)
    assert known.address == client == str(ip_address(client))
    for left in ("for=203.0.113.9, ", "rubbish, "):
        if client == HIDDEN or not PROXIES.trust(client):
            before = [[left + value] if value else [] for value in (*forwarded, *others)]
            again = (
                before if forwarded and others else ([*before, []] if forwarded else [[], *before])
            )
            try:
                assert PROXIES.client("", *again) == client
            except UnclearError:
                assert left.startswith("rubbish")  # Forwarded is read whole
                assert forwarded


def address(octets: bytes) -> None:
    """Any target is one page or none, and any Accept prefers one form of those there are."""
    raw, accept = map(any_text, parts(octets, 2))
    assert preferred(accept, OF_USER) in OF_USER
    assert preferred(accept, OF_PEOPLE) in OF_PEOPLE
    try:
        target = target_of(raw)
    except TargetError:
        return
    assert bool(target.user) is (target.page == "user")
    assert is_printable(target.user.decode())
    if target.user:
        written = quote(target.user, safe="").replace(".", "%2E")
        assert target_of(f"/~{written}").user == target.user


def heads(octets: bytes) -> None:
    """However a client cuts what it sends, the same heads are taken of it; each is whole, and none
    holds what two parsers could read differently. The first part says how long the pieces are.
    """
    sizes, sent = parts(octets, 2)
    whole, pieces = Heads(), Heads()
    whole.feed(sent)
    expected = _taken(whole)
    got: list[bytes | Refusal] = []
    at = 0
    for size in (*sizes, len(sent)):
        pieces.feed(sent[at : at + size + 1])
        at += size + 1
        got += _taken(pieces)
        if got and isinstance(got[-1], Refusal):
            break
    assert got == expected[: len(got)] or isinstance(got[-1], Refusal)
    assert [head for head in got if isinstance(head, bytes)] == [
        head for head in expected if isinstance(head, bytes)
    ]
    for head in expected:
        if isinstance(head, bytes):
            assert head.endswith(b"\r\n\r\n")
            assert head.count(b"\r\n\r\n") == 1
            assert head.count(b"\r") == head.count(b"\n") == head.count(b"\r\n")
            assert not re.search(rb"\x00|\n[ \t]", head)
            assert len(head) <= MAX_HEAD


def _taken(heads: Heads) -> list[bytes | Refusal]:
    found: list[bytes | Refusal] = []
    while (head := heads.next()) is not None:
        found.append(head)
        if isinstance(head, Refusal):
            break
    return found


def visit(octets: bytes) -> None:
    """Whatever comes over HTTP, whole responses go back, which do not tell the hidden from the
    absent, and nothing fails.
    """
    absent, hidden = quiet(_visit(octets))
    assert absent == hidden
    while absent:
        head, end, rest = absent.partition(b"\r\n\r\n")
        assert end, "half a head"
        first, *lines = head.decode("ascii").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        protocol, status, _ = first.split(" ", 2)
        assert protocol in ("HTTP/1.0", "HTTP/1.1")
        assert status in STATUSES, first
        assert headers["X-Content-Type-Options"] == "nosniff"
        length = int(headers.get("Content-Length", 0))
        bodiless = status == "304" or (len(rest) < length and b"HEAD" in octets)
        absent = rest if bodiless else rest[length:]


STATUSES = ("200", "304", "400", "403", "404", "405", "414", "429", "431", "505")


async def _visit(octets: bytes) -> list[bytes]:
    """Return what comes back for `octets` where a user is absent, and where each is hidden."""
    from ..helpers.visits import visiting

    got = []
    for says in (None, Absent("hides")):
        async with visiting(Told(says), limits=Limits(miss_time=0), unix=True) as it:
            visitor = await it.connect()
            async with visitor:
                visitor.writer.write(octets)
                visitor.writer.write_eof()
                got.append(re.sub(rb"Date: [^\r]*\r\n", b"", await visitor.rest()))
    return got


TARGETS = (
    Target(
        "proxied",
        proxied,
        (b"for=", b"by=", b";", b",", b'"', b"[2001:db8::1]", b"192.0.2.1", b"198.51.100.7",
         b":80", b"_hidden", b"unknown", b"unix:", b"%eth0", b"::ffff:", SEPARATOR),
        longest=256,
    ),
    Target(
        "address",
        address,
        (b"/~", b"%2", b"%FF", b".txt", b".json", b".vcf", b"/.well-known/webfinger?", b"http://",
         b"/feed.atom", SEPARATOR, b"text/plain", b";q=0.", b"*/*", b","),
        longest=256,
    ),
    Target(
        "heads",
        heads,
        (SEPARATOR, b"GET / HTTP/1.1\r\n", b"Host: x\r\n", b"\r\n\r\n", b"\r", b"\n", b"\n ", b"\0",
         b" HTTP/2.0\r\n", b"a" * 64),
        longest=512,
    ),
    Target(
        "visit",
        visit,
        (b"GET ", b"HEAD ", b"POST ", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b"Host: x\r\n",
         b"/~alice", b"/.well-known/webfinger?resource=acct:a@example.org", b"Content-Length: ",
         b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"\r\n\r\n", b"0\r\n",
         b"If-None-Match: *\r\n", b"X-Forwarded-For: ", b"Forwarded: for="),
        runs=400,
        longest=512,
    ),
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
