# SPDX-License-Identifier: MIT
"""Links of people: which may be shown, and how those are read that a store has.

Sans-I/O. A link goes into pages and into the answers of WebFinger (RFC 7033 §4.4.4), so it has to
be one that can do no harm there::

    rel  ::= a relation's registered name (RFC 8288 §3.3), or a URI
    href ::= scheme ":" and what RFC 3986 allows behind it; the scheme is one of SCHEMES
    type ::= a media type (RFC 6838 §4.2), with parameters; or nothing

Characters that a URI cannot have (control characters, blanks, quotes, angle brackets, whatever is
not ASCII) are in none of the three, so what is shown needs no second thought.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fingerd_sd.protocol.entry import Link

MAX_LINK = 2048  # characters of a part of a link: what browsers and proxies are sure to take
# Of one user who publishes.
MAX_LINKS = 16
MAX_PART = 512  # characters, each an octet, of a part of such a link
# Addresses that a person has. Not javascript: and data:, which run what the link says, and not
# file:, which means another file for everybody.
SCHEMES = (
    "https",
    "http",
    "mailto",
    "acct",
    "gemini",
    "gopher",
    "finger",
    "xmpp",
    "matrix",
    "irc",
    "ircs",
    "sip",
    "sips",
    "tel",
    "did",
    "urn",
    "openpgp4fpr",
)
_AT_HOSTS = ("https", "http", "gemini", "gopher", "finger", "irc", "ircs")  # these begin with "//"
# Whom a whole domain's accounts are vouched for by is no user's to say: who signs in with
# alice@example.org would be sent to whatever alice has published (OpenID Connect Discovery §2).
_OF_A_DOMAIN = re.compile(r"https?://(specs\.)?openid\.net(?![a-z0-9.-])", re.IGNORECASE)

_URI_BODY = r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+"
_URI = rf"[A-Za-z][A-Za-z0-9+.-]*:{_URI_BODY}"
_REL = rf"[a-z][a-z0-9.-]*|{_URI}"
_WORD = r"[A-Za-z0-9!#$&^_.+-]+"
_TYPE = rf'{_WORD}/{_WORD}(?: *; *{_WORD}=(?:{_WORD}|"[ !#-\[\]-~]*"))*'


def fault(link: Link, longest: int = MAX_LINK) -> str:
    """Return what is wrong with `link`, whose parts may have `longest` characters; "" if it may be
    shown.
    """
    for name, part in link._asdict().items():
        if len(part) > longest:
            return f"{name} has more than {longest} characters: shorten it"
    if not re.fullmatch(_REL, link.rel):
        return 'rel is no relation such as "me", nor the URI of one'
    scheme, colon, rest = link.href.partition(":")
    if not colon or scheme.lower() not in SCHEMES:
        return f"href begins with none of {', '.join(f'{scheme}:' for scheme in SCHEMES)}"
    if not re.fullmatch(_URI, link.href):
        return "href has characters that a URI cannot have: write them as %XX"
    if scheme.lower() in _AT_HOSTS and not re.match(r"//[^/?#]", rest):
        return f"href names no host: {scheme}://HOST/…"
    if link.type and not re.fullmatch(_TYPE, link.type):
        return 'type is no media type such as "text/html"'
    return ""


def fault_of_user(link: Link) -> str:
    """Return what is wrong with a link that a user publishes; "" if it may be published."""
    if _OF_A_DOMAIN.match(link.rel):
        return "who vouches for accounts is the administrator's to say: links in [web]"
    return fault(link, MAX_PART)


def showable(links: Iterable[Link]) -> tuple[Link, ...]:
    """Return those of `links` that may be shown, in their order."""
    return tuple(link for link in links if not fault(link))


def published(value: Any) -> tuple[Link, ...]:
    """Return the links of a user that the JSON `value` has; what is malformed is left out."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return ()
    links = (link_of(item) for item in value[:MAX_LINKS])
    return tuple(link for link in links if link is not None and not fault_of_user(link))


def link_of(item: Any) -> Link | None:
    """Return the link that an object of JSON is, whatever it leads to; None: it is none."""
    if not isinstance(item, Mapping):
        return None
    parts = [item.get("rel"), item.get("href"), item.get("type", "")]
    return Link(*parts) if all(isinstance(part, str) for part in parts) else None


def told(links: Iterable[Link]) -> list[dict[str, str]]:
    """Return `links` as JSON has them: objects of rel, href and, where there is one, type."""
    return [{key: part for key, part in link._asdict().items() if part} for link in links]
