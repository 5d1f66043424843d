# SPDX-License-Identifier: MIT
"""Addresses in a text become links, and nothing else becomes markup.

Sans-I/O. An address begins with one of SCHEMES. What ends a sentence after it stays outside, and so
does a bracket that was opened before it. RFC 3986 Appendix C: addresses stand in texts so.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from markupsafe import Markup, escape

SCHEMES = ("http", "https", "mailto", "gemini", "finger")  # what a browser or its user can open
REL = "nofollow ugc noopener"  # a user wrote it: no praise from this site, and no hold on its page

# Blanks, quotes, and what RFC 3986 has in no address, end one; an IPv6 address has its brackets.
_INNER = r"[^\s<>\"\[\]{}|\\^`]"
_ADDRESS = re.compile(
    rf"(?<![\w+.-])(?:(?:https?|gemini|finger)://(?:\[[\da-f:.]+\])?|mailto:){_INNER}+",
    re.IGNORECASE,
)
_WHOLE = re.compile(rf"(?:{_ADDRESS.pattern})\Z", re.IGNORECASE)
# What may follow an address in a text and seldom ends one; the last ones are those of East Asia.
_AFTER = ".,;:!?'*_…·»›”’" + "\u3001\u3002\uff01\uff0c\uff1a\uff1b\uff1f"
_OPENED = {")": "(", "\uff09": "\uff08"}
_NO_OCTET = re.compile(r"%(?![\da-fA-F]{2})")  # a percent sign that encodes none
_PLAIN = re.compile(r"[A-Za-z0-9._~/:?#@!$&'()*+,;=-]*")
_SAFE = "%/:?#[]@!$&'()*+,;=~"  # RFC 3986 §2.2, and what is encoded already


def linked(text: str) -> Markup:
    """Return `text`, printable, as HTML: its addresses as links, the rest escaped."""
    parts: list[str] = []
    done = 0
    for match in _ADDRESS.finditer(text):
        end = match.start() + _length(match[0])
        address = text[match.start() : end]
        if not _says_where(address):
            continue
        parts += (_escaped(text[done : match.start()]), _anchor(address, REL))
        done = end
    parts.append(_escaped(text[done:]))
    return Markup("".join(parts))  # noqa: S704  # all of its parts are escaped


def anchor(address: str, rel: str = REL) -> Markup:
    """Return a link to `address`, of which `is_link` must hold. It reads from left to right,
    whatever is around it.
    """
    return Markup(_anchor(address, rel))  # noqa: S704  # all of its parts are escaped


def is_link(address: str) -> bool:
    """Whether a link of a person may be one of a page: its scheme is one of SCHEMES."""
    return _WHOLE.match(address) is not None and _says_where(address)


def encoded(address: str) -> str:
    """Return `address` in ASCII, with a percent sign before the octets of each other character."""
    if _PLAIN.fullmatch(address):
        return address
    return quote(_NO_OCTET.sub("%25", address), safe=_SAFE)


def _anchor(address: str, rel: str) -> str:
    href = _escaped(encoded(address))
    return f'<a href="{href}" rel="{rel}" dir="ltr">{_escaped(address)}</a>'


def _escaped(text: str) -> str:
    """Return `text` as HTML: a str, of which many are joined faster than of Markup."""
    return str(escape(text))


def _says_where(address: str) -> bool:
    """Whether there is more than a scheme."""
    return bool(address.partition(":")[2].strip("/"))


def _length(address: str) -> int:
    """Return how many characters of `address` are left without what follows it in a text."""
    end = len(address)
    extra = {shut: address.count(shut) - address.count(opened) for shut, opened in _OPENED.items()}
    while end:
        last = address[end - 1]
        if extra.get(last, 0) > 0:
            extra[last] -= 1
        elif last not in _AFTER:
            break
        end -= 1
    return end
