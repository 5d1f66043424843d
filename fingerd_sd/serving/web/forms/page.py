# SPDX-License-Identifier: MIT
"""The form HTML: semantic pages with one stylesheet, no script, and nothing from other hosts.

Sans-I/O, but for the templates beside it. No other module imports Jinja2. Every value is escaped
there: autoescape is on for all templates, and only `linking` makes markup of a text. Addresses are
relative, so that a page need not know what it is called.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from fingerd_sd.protocol.entry import Link, Person, Session, Text
from fingerd_sd.protocol.layout.fields import phone_number
from fingerd_sd.protocol.layout.logins import idle_words
from fingerd_sd.protocol.reply import NO_PLANS, NOBODY
from fingerd_sd.protocol.text import CUT_MARK, printable
from fingerd_sd.serving.web.forms.linking import REL, anchor, is_link, linked
from fingerd_sd.serving.web.forms.times import in_words, rfc3339
from fingerd_sd.serving.web.forms.values import AVATAR, Kind, Place, Row, first_line, path_of

_HERE = Path(__file__).parent
STYLE = (_HERE / "style.css").read_bytes()
VERSION = hashlib.sha256(STYLE).hexdigest()[:12]  # in its address, so that it may be kept for long

# https://webfinger.net/rel/; OpenID Connect Discovery 1.0 §2
PROFILE = "http://webfinger.net/rel/profile-page"
ISSUER = "http://openid.net/specs/connect/1.0/issuer"
_NAMES = {
    AVATAR: "Avatar",
    PROFILE: "Profile",
    ISSUER: "Sign-on",
    "me": "Also",
    "related": "Related",
    "self": "Self",
}
# Who is there is the same person; other sites look for that: microformats.org/wiki/rel-me.
_MINE = ("me", PROFILE)


class _Item(NamedTuple):
    """One user of a list, as its page shows it."""

    login: str
    href: str
    name: str
    at: datetime | None
    line: str
    is_text: bool
    sessions: Sequence[Session]


def person(row: Row, at: Place, listed: bool) -> bytes:
    """Return the page of one user. `listed`: whether the page leads to a list."""
    known = row.entry if isinstance(row.entry, Person) else None
    fields = list(_fields(known)) if known else []
    more = known and (known.sessions or known.last_login or known.forward or known.mail)
    return _octets(
        "person.html",
        at=at,
        login=row.login,
        here=path_of(row.login),
        name=known.name if known else None,
        person=known,
        text=printable(row.entry.text).strip("\n") if isinstance(row.entry, Text) else "",
        fields=fields,
        details=bool(fields or more),
        links=list(_links(known.links)) if known else [],
        listed=listed,
    )


def people(rows: Sequence[Row], kind: Kind, at: Place, cut: bool) -> bytes:
    """Return the page of a list. `cut`: whether there are more."""
    return _octets(
        f"{kind}.html",
        at=at,
        items=[_item(row) for row in rows],
        nobody=NO_PLANS if kind == "plans" else NOBODY,
        more=CUT_MARK if cut else "",
    )


def sentence(text: str, at: Place) -> bytes:
    """Return a page of one sentence."""
    return _octets("sentence.html", at=at, text=text)


def _octets(template: str, **values: Any) -> bytes:
    return _templates().get_template(template).render(values).encode()


@cache
def _templates() -> Environment:
    """Return the templates, each of which is compiled once: they are part of the program."""
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "idle": idle_words,
        "linked": linked,
        "phone": phone_number,
        "time": _time,
    }
    environment.globals |= {"style": f"style.css?{VERSION}"}
    return environment


def _time(at: datetime) -> Markup:
    words = escape(in_words(at))  # a machine can call its time zone what it likes
    return Markup(f'<time datetime="{rfc3339(at)}">{words}</time>')  # noqa: S704  # both are safe


def _item(row: Row) -> _Item:
    known = row.entry if isinstance(row.entry, Person) else None
    return _Item(
        row.login,
        path_of(row.login),
        (known.name if known else None) or "",
        None if row.at is None else datetime.fromtimestamp(row.at, UTC).astimezone(),
        first_line(row.entry),
        known is None,
        (known.sessions if known else None) or (),
    )


def _fields(person: Person) -> Iterator[tuple[str, str]]:
    """Yield what each field of a line is called, and its value, of those that there are."""
    if person.office:
        yield "Office", person.office
    if person.phone:
        yield "Office phone", phone_number(person.phone)
    if person.home_phone:
        yield "Home phone", phone_number(person.home_phone)
    if person.directory:
        yield "Directory", person.directory
    if person.shell:
        yield "Shell", person.shell


def _links(links: Sequence[Link]) -> Iterator[tuple[str, Markup | str]]:
    """Yield what each link of a person is called, and the link; what no page may lead to is text.
    An image of another host is a link too: a page has nothing from other hosts.
    """
    for link in links:
        name = _NAMES.get(link.rel) or urlsplit(link.rel).path.rpartition("/")[2] or link.rel
        rel = f"me {REL}" if link.rel in _MINE else REL
        yield name, anchor(link.href, rel=rel) if is_link(link.href) else link.href
