# SPDX-License-Identifier: MIT
"""WebFinger, RFC 7033: the query of a request in, whom it asks about, and what is told of them.

Sans-I/O. The grammar (RFC 7033 §4.1, RFC 3986, RFC 7565, RFC 6068), and how it is read here::

    query    ::= parameter *( "&" parameter )
    parameter::= "resource=" URI | "rel=" relation | anything else, which is ignored
    URI      ::= "acct:" user "@" host | "mailto:" user "@" host
               | ( "https" | "http" ) "://" host "/~" user [ "/" ]

Both levels are percent-encoded, the parameters and the URI within. "+" is itself: this is no form.
Scheme and host are read without regard to case, and an international name in either form. It is
read liberally twice, each time for a client that exists:

- octets that are no ASCII need not be encoded, where the HTTP library lets them through;
- a port behind the host is ignored: who tries a server on a port of its own has it there.

Any other URI is one that nothing is known of. What is no URI is a `BadResource`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from fingerd_sd.config.web import USER, LinkTemplate
from fingerd_sd.protocol.entry import Entry, Link, Person
from fingerd_sd.protocol.hosts import same_name
from fingerd_sd.protocol.links import showable
from fingerd_sd.protocol.query import is_name
from fingerd_sd.protocol.text import is_printable
from fingerd_sd.serving.web.forms.values import TYPES, Place

TYPE = "application/jrd+json"  # RFC 7033 §10.2
PATH = "/.well-known/webfinger"
MAX_RESOURCE = 1024  # octets of a URI, as max_query is of a line
MAX_HOST = 253  # characters of a name: RFC 1035 §2.3.4

PROFILE_PAGE = "http://webfinger.net/rel/profile-page"
DESCRIBED_BY = "describedby"  # RFC 8288 §4.2, by the registry: what tells more of the subject
NAME = "http://packetizer.com/ns/name"  # the one that clients read: nothing is registered
STATUS = "http://xmlns.com/foaf/0.1/status"  # "their current activity": http://xmlns.com/foaf/spec/

_BROKEN = re.compile(r"%(?![0-9A-Fa-f]{2})")
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):([^\s<>\"\\^`{|}]+)")
# What stands behind the scheme of an address: the authority, and a path of one segment; [2] is None
# where there is another path, or a query, or a fragment.
_ADDRESS = re.compile(r"//([^/?#]+)(?:/([^/?#]*)/?|[/?#].*)?")
_AUTHORITY = re.compile(r"(\[[^\]]*\]|[^:@\[\]]*)(?::[0-9]*)?")
_USER_MARKS = "-._~!$&'()*+,;="  # of a user in acct: these are no escapes, RFC 7565 §7


class BadResource(ValueError):  # noqa: N818  # an answer of its own, the status 400
    """The query names no resource. `say`: one sentence that says why; nothing of the client's."""

    def __init__(self, say: str) -> None:
        super().__init__(say)
        self.say = say


class Asked(NamedTuple):
    """What a query asks. `resource`: the URI, decoded once. `user`, `domain`: whom it means, and
    where, in `same_domain`'s spelling; both "" where it is the URI of no user. `rels`: the
    relations that are wanted; none: all.
    """

    resource: str
    user: str = ""
    domain: str = ""
    rels: tuple[str, ...] = ()

    def user_of(self, domains: Sequence[str]) -> str | None:
        """Return the user that is meant; None: it is none of these `domains`."""
        return self.user if self.user and self.domain in map(same_domain, domains) else None


def parse(query: str) -> Asked:
    """Return what a request's `query` asks: what stands behind its "?", nothing decoded, with
    octets that are no UTF-8 as surrogates (PEP 383). Raises BadResource, and nothing else.
    """
    if _BROKEN.search(query):
        raise BadResource("A percent sign has to be followed by two hexadecimal digits.")
    resources, rels = [], []
    for parameter in filter(None, query.split("&")):
        encoded, _, value = parameter.partition("=")
        name = _decoded(encoded)
        if name == "resource":
            resources.append(_decoded(value))
        elif name == "rel":
            rels.append(_decoded(value))
    if len(resources) != 1:
        raise BadResource(
            "The query has to name one resource, such as resource=acct%3Aalice%40example.org."
        )
    (resource,) = resources
    if len(resource.encode()) > MAX_RESOURCE:
        raise BadResource(f"The resource has more than {MAX_RESOURCE} octets.")
    uri = _URI.fullmatch(resource)
    if uri is None or not is_printable(resource):
        raise BadResource("The resource has to be a URI, such as acct:alice@example.org.")
    if _BROKEN.search(resource):
        raise BadResource("The resource has a percent sign without two hexadecimal digits.")
    user, host = _user_at(uri[1].lower(), uri[2])
    domain = same_domain(_decoded(host))
    if not is_name(user) or not domain:  # nobody is called so
        user = domain = ""
    return Asked(resource, user, domain, tuple(filter(None, rels)))


def _user_at(scheme: str, rest: str) -> tuple[str, str]:
    """Return user and host of a URI, the host still encoded; "" and "" where it names no user.
    Raises BadResource.
    """
    if scheme in ("acct", "mailto"):
        user, at, host = rest.rpartition("@")
        authority = _AUTHORITY.fullmatch(host)
        if scheme == "acct" and (not (user and at and host and authority) or "@" in user):
            raise BadResource("An account is written acct:USER@HOST (RFC 7565).")
        # "," is between the addresses of a mailto:, and of an account's name.
        if authority is None or re.search("[/?#]" if scheme == "acct" else "[@,/?#]", user + host):
            return "", ""
        return _decoded(user), authority[1]
    if scheme in ("http", "https"):
        parts = _ADDRESS.fullmatch(rest)
        authority = parts and _AUTHORITY.fullmatch(parts[1])
        if parts is None or ("@" not in parts[1] and not (authority and authority[1])):
            raise BadResource(f"An address is written {scheme}://HOST/~USER.")
        segment = _decoded(parts[2] or "")
        if authority is not None and segment.startswith("~"):
            return segment[1:], authority[1]
    return "", ""


def _decoded(text: str) -> str:
    """Return `text`, whose escapes are whole, percent-decoded. Raises BadResource."""
    try:
        octets = text.encode("utf-8", "surrogateescape")
        return (unquote_to_bytes(octets) if "%" in text else octets).decode("utf-8")
    except UnicodeError:
        raise BadResource("The query is not UTF-8.") from None


def same_domain(name: str) -> str:
    """Return a domain as domains are compared: an international name as ASCII has it (RFC 5890
    A-labels), in lower case, without the root's dot; an IP address in its usual form. "": none.
    """
    if len(name) > MAX_HOST:
        return ""
    if not name.isascii():
        import idna  # aiohttp's own, by yarl; few names need it

        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except UnicodeError:
            return ""
    return same_name(name.removeprefix("[").removesuffix("]"))


def jrd(
    asked: Asked, entry: Entry, domains: Sequence[str], templates: Sequence[LinkTemplate], at: Place
) -> bytes:
    """Return what is told of the user that `asked` means, in JSON (RFC 7033 §4.4).

    `entry`: a Person that went through protocol/shown.py, or a Text. `domains`: all of the
    directory; `at`: the one that is the subject's. `templates`: the links that everybody has;
    what they say of a relation stands over what the person says of it.
    """
    login = entry.login if isinstance(entry, Person) else asked.user
    person = entry if isinstance(entry, Person) else Person(login)
    page = page_of(login, at)
    account = quote(login, safe=_USER_MARKS)
    accounts = dict.fromkeys(
        f"acct:{account}@{_host(domain)}" for domain in map(same_domain, (at.domain, *domains))
    )
    subject, *others = accounts
    told: dict[str, Any] = {"subject": subject, "aliases": [page, *others]}
    if properties := dict(_properties(person)):
        told["properties"] = properties
    links = dict.fromkeys(_links(person, templates, page))
    wanted = set(map(_same_rel, asked.rels))  # RFC 7033 §4.3
    told["links"] = [_told(link) for link in links if not wanted or _same_rel(link.rel) in wanted]
    return json.dumps(told, ensure_ascii=False, indent=2).encode("utf-8") + b"\n"


def _host(domain: str) -> str:
    return f"[{domain}]" if ":" in domain else domain


def page_of(login: str, at: Place) -> str:
    """Return the address of a user's page."""
    return f"{at.base}/~{quote(login, safe='')}"


def _properties(person: Person) -> Iterator[tuple[str, str]]:
    if person.name:
        yield NAME, person.name
    if person.status is not None:
        yield STATUS, person.status.text


def _links(person: Person, templates: Sequence[LinkTemplate], page: str) -> Iterator[Link]:
    """Yield the links in the order in which they are preferred (RFC 7033 §4.4.4)."""
    user = quote(person.login, safe="")
    everybodys = [Link(rel, href.replace(USER, user), kind) for rel, href, kind in templates]
    ours = {_same_rel(link.rel) for link in everybodys}
    yield Link(PROFILE_PAGE, page, "text/html")
    yield from everybodys
    yield from showable(link for link in person.links if _same_rel(link.rel) not in ours)
    yield Link(DESCRIBED_BY, f"{page}.json", TYPES["json"])
    yield Link(DESCRIBED_BY, f"{page}.vcf", TYPES["vcard"].partition(";")[0])


def _told(link: Link) -> dict[str, str]:
    """Return a link as a JRD has it: rel, type if there is one, href (RFC 7033 §4.4.4)."""
    kind = {"type": link.type} if link.type else {}
    return {"rel": link.rel, **kind, "href": link.href}


def _same_rel(rel: str) -> str:
    """Return a relation as relations are compared: URIs as they are, registered names without
    regard to case (RFC 8288 §2.1.1, §2.1.2).
    """
    return rel if ":" in rel else rel.lower()
