# SPDX-License-Identifier: MIT
"""People for the web's forms, and the site that they make: each answer at its address."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from fingerd_sd.protocol.entry import (
    ATOMS,
    Entry,
    Link,
    Login,
    Mail,
    Person,
    Session,
    Status,
    Text,
)
from fingerd_sd.protocol.shown import shown
from fingerd_sd.serving.web import forms
from fingerd_sd.serving.web.forms import TYPES, Form, Place, Row

HERE = Place("example.org", "https://example.org")
CET = timezone(timedelta(hours=1), "CET")
NOON = datetime(2026, 11, 25, 12, 0, tzinfo=CET)
NOW = NOON.timestamp()

KEY = """\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEZ0RZThYJKwYBBAHaRw8BAQdAq9L0yNn4fUu7bJp3v4oP0iYbE6l7yWkq9o1E
rs2TFsC0HUFsaWNlIExpZGRlbGwgPGFsaWNlQGV4YW1wbGUub3JnPg==
=Wm0D
-----END PGP PUBLIC KEY BLOCK-----
"""
PLAN = """\
Down the rabbit-hole until Friday; then back to <b>croquet</b> & tea.

 * The Hare's notes are at https://hare.example.net/tea (do bring cups).
 * Write to mailto:alice@example.org, or finger://example.org/rabbit.

        /\\_/\\      "But I don't want to go among mad people,"
       ( o.o )      Alice remarked.
        > ^ <
"""
ALICE = Person(
    "alice",
    name="Alice Liddell",
    office="Hill 016",
    phone="9085551234",
    home_phone="01865 276492",
    directory="/home/alice",
    shell="/bin/zsh",
    sessions=(
        Session(NOON - timedelta(hours=3), "pts/0", "hare.example.net", 340.0, messages=False),
        Session(NOON - timedelta(minutes=9), "tty2"),
    ),
    forward="alice@wonderland.example",
    mail=Mail(NOON, NOON - timedelta(days=1)),
    key=KEY,
    status=Status("At the tea party, see https://tea.example.net/", NOON + timedelta(hours=5)),
    project="Through the looking-glass",
    plan=PLAN,
    links=(
        Link("http://webfinger.net/rel/avatar", "https://example.org/cat.png", "image/png"),
        Link("http://webfinger.net/rel/profile-page", "https://alice.example.org/"),
        Link("me", "https://social.example/@alice"),
        Link("related", "xmpp:alice@chat.example"),
    ),
)
ZAHRA = Person(
    "zahra",
    name="زهرا کریمی",
    last_login=Login(NOON - timedelta(days=40), "pts/3", "192.0.2.7"),
    mail=Mail(),
    plan="سلام! برنامه‌ی من https://example.org/~zahra/ است.\n\nשלום, and " + "long" * 60 + ".\n",
)
ADA = Person("ada", plan="Notes on the Analytical Engine, G.\n\n" + "0123456789 " * 40)
MOSHEZ = Text("Happy and well\n\nMore at gemini://moshez.example/.\n")


def seen(person: Person) -> Person:
    """Return what an audience sees that may see everything, at noon."""
    return shown(person, ATOMS, NOW)


EVERYBODY: Mapping[str, Entry] = {
    "alice": seen(ALICE),
    "zahra": seen(ZAHRA),
    "ada": seen(ADA),
    "moshez": MOSHEZ,
}
SESSIONS = [Row(login, EVERYBODY[login]) for login in ("ada", "alice", "moshez", "zahra")]
PLANS = [
    Row(login, EVERYBODY[login], NOW - 86400 * age)
    for age, login in enumerate(("alice", "zahra", "ada"))
]


class Answer(NamedTuple):
    """What is at an address."""

    status: int
    type: str
    octets: bytes


def site() -> dict[str, Answer]:
    """Return a site with a page of each kind: what is at which address."""
    found = {"/style.css": Answer(200, "text/css; charset=utf-8", forms.style()[0])}
    kinds: tuple[tuple[Form, str], ...] = (("html", ""), ("json", ".json"), ("vcard", ".vcf"))
    for login, entry in EVERYBODY.items():
        for form, suffix in kinds:
            octets = forms.person(form, login, entry, HERE, listed=True)
            found[f"/~{login}{suffix}"] = Answer(200, TYPES[form], octets)
        found[f"/~{login}.txt"] = Answer(200, TYPES["text"], b"As finger has it.\n")
    found["/index.txt"] = Answer(200, TYPES["text"], b"As finger has it.\n")
    lists: dict[str, tuple[Form, bytes]] = {
        "/": ("html", forms.people("html", SESSIONS, "sessions", HERE, cut=True)),
        "/plans": ("html", forms.people("html", PLANS, "plans", HERE)),
        "/empty": ("html", forms.people("html", [], "sessions", HERE)),
        "/none": ("html", forms.people("html", [], "plans", HERE)),
        "/index.json": ("json", forms.people("json", SESSIONS, "sessions", HERE)),
        "/feed.atom": ("atom", forms.people("atom", PLANS, "plans", HERE)),
    }
    found |= {path: Answer(200, TYPES[form], octets) for path, (form, octets) in lists.items()}
    absent = forms.sentence("html", 404, "No such user", HERE)
    return found | {"/~nobody": Answer(404, TYPES["html"], absent)}


PAGES = ("/", "/plans", "/empty", "/none", "/~alice", "/~zahra", "/~ada", "/~moshez", "/~nobody")
