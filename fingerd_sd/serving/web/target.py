# SPDX-License-Identifier: MIT
"""What a request asks for: the target of its first line, and the form that its `Accept` prefers.

Sans-I/O. Every address of this site::

    /  /index.txt  /index.json     the list that the client's audience may have
    /~NAME  /~NAME.txt .json .vcf  one user; NAME is percent-encoded UTF-8
    /feed.atom                     the plans, where that is the list
    /style.css                     the stylesheet of the pages
    /.well-known/webfinger         RFC 7033

A suffix is one as it is written: `/~a%2Etxt` is the user "a.txt". What comes behind "?" counts for
WebFinger only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias
from urllib.parse import unquote_to_bytes

from fingerd_sd.protocol.text import is_printable
from fingerd_sd.serving.web.forms.values import Form

Page: TypeAlias = Literal["user", "people", "feed", "style", "webfinger", "none"]

MAX_ACCEPT = 1024  # characters: browsers send 150
OF_USER: tuple[Form, ...] = ("html", "text", "json", "vcard")
OF_PEOPLE: tuple[Form, ...] = ("html", "text", "json")
_SUFFIXES: dict[str, Form] = {".txt": "text", ".json": "json", ".vcf": "vcard"}
_RANGES: dict[str, Sequence[Form]] = {  # RFC 9110 §12.5.1
    "text/html": ("html",),
    "application/xhtml+xml": ("html",),
    "text/plain": ("text",),
    "application/json": ("json",),
    "text/vcard": ("vcard",),
    "text/*": ("html", "text", "vcard"),
    "application/*": ("json",),
    "*/*": ("html", "text", "json", "vcard"),
}
_BROKEN = re.compile("%(?![0-9A-Fa-f]{2})")  # RFC 3986 §2.1
_QUALITY = re.compile(r"[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")  # RFC 9110 §12.4.2


class TargetError(ValueError):
    """A request's target that is none; the text says why, to the client."""


class Target(NamedTuple):
    """What is asked for. `user`: the octets of a name. `form`: the one that the address names;
    None: see `preferred`. `query`: what came behind "?", for WebFinger.
    """

    page: Page
    user: bytes = b""
    form: Form | None = None
    query: str = ""


_FIXED = {
    "/": Target("people"),
    "/index.txt": Target("people", b"", "text"),
    "/index.json": Target("people", b"", "json"),
    "/feed.atom": Target("feed", b"", "atom"),
    "/style.css": Target("style"),
    "/.well-known/webfinger": Target("webfinger", b"", "json"),
}


def forget() -> None:
    """Drop what is remembered of requests: memory is short."""
    target_of.cache_clear()
    _preferred.cache_clear()


@lru_cache(1024)  # of 300 octets each, as a rule, and 8 KiB at the most
def target_of(raw: str) -> Target:
    """Return what the target `raw` of a request is, as it came: RFC 9112 §3.2, the origin form or
    the absolute one. Raises TargetError if it is not percent-encoded (RFC 3986 §2.1).
    """
    if not raw.startswith("/"):
        scheme, _, rest = raw.partition("://")
        if scheme.lower() not in ("http", "https") or not rest:
            raise TargetError("The target of the request is no address")
        raw = f"/{rest.partition('/')[2]}"
    if "#" in raw:  # a browser keeps that for itself
        raise TargetError("The target of the request has a fragment")
    path, _, query = raw.partition("?")
    if _BROKEN.search(path):
        raise TargetError("The address is not percent-encoded")
    if path in _FIXED:
        fixed = _FIXED[path]
        return fixed._replace(query=query) if fixed.page == "webfinger" else fixed
    if not path.startswith("/~") or "/" in path[1:]:
        return Target("none")
    name, form = path[2:], None
    for suffix, named in _SUFFIXES.items():
        if name.endswith(suffix):
            name, form = name.removesuffix(suffix), named
            break
    user = unquote_to_bytes(name.encode("utf-8", "surrogateescape"))
    try:
        if not is_printable(user.decode()):
            raise TargetError("The address has a character that cannot be printed")
    except UnicodeDecodeError:
        raise TargetError("The address is not UTF-8") from None
    return Target("user", user, form) if user else Target("none")


@lru_cache(256)  # of MAX_ACCEPT at the most
def _preferred(accept: str, forms: tuple[Form, ...]) -> Form:
    best: dict[Form, tuple[int, float]] = {}
    for item in accept.split(","):
        kind, *parameters = (part.strip(" \t") for part in item.split(";"))
        quality = 1.0
        for parameter in parameters:
            if match := _QUALITY.fullmatch(parameter):
                quality = float(match[1])
        specific = 2 - kind.count("*")
        for form in _RANGES.get(kind.lower(), ()):
            best[form] = max(best.get(form, (-1, 0.0)), (specific, quality))
    liked = max(forms, key=lambda form: best.get(form, (0, 0.0))[1])
    return liked if best.get(liked, (0, 0.0))[1] > 0 else forms[0]


def preferred(accept: str, forms: tuple[Form, ...]) -> Form:
    """Return which of `forms` a client prefers that sends `accept`, its Accept headers joined by
    commas, of which the first MAX_ACCEPT characters are read; the first form where it does not say,
    or knows none of them. RFC 9110 §12.5.1: the most specific range that names a form decides.
    """
    return _preferred(accept[:MAX_ACCEPT], forms)
