# SPDX-License-Identifier: MIT
"""What a user's words may do to the forms of an answer on the web."""

from __future__ import annotations

import json
from xml.etree.ElementTree import fromstring

from fingerd_sd.protocol.entry import ATOMS, Link, Person, Status
from fingerd_sd.protocol.shown import shown
from fingerd_sd.serving.web import forms
from fingerd_sd.serving.web.forms import Place, Row

from ..helpers.markup import Page
from .target import SEPARATOR, Target, any_text

HERE = Place("example.org", "https://example.org")
CARD = {
    *("BEGIN", "VERSION", "SOURCE", "FN", "NICKNAME", "ADR", "TEL", "PHOTO", "EMAIL", "URL"),
    *("NOTE", "KEY", "END"),
}


def words(octets: bytes) -> None:
    """Whatever is written, it is a text of its place in each form, and nothing else of it."""
    from fingerd_sd.serving.web.forms.linking import SCHEMES  # not every machine has Jinja2

    name, plan, other = (any_text(part) for part in [*octets.split(SEPARATOR, 2), b"", b""][:3])
    links = (Link("me", other), Link(other, "https://example.org/"))
    whole = Person(f"a{name}", name, office=other, phone=other, status=Status(other), links=links)
    person = shown(whole._replace(plan=plan, project=plan, key=other), ATOMS, 0)
    login = person.login

    page = Page(forms.person("html", login, person, HERE))
    texts = [text for text in (person.project, person.plan, person.key) if text]
    assert [it.lstrip("\n") for it in page.texts.get("pre", [])] == [
        it.lstrip("\n") for it in texts
    ]
    for link in page.links:
        if "rel" in link:
            assert link["href"].partition(":")[0].lower() in SCHEMES
            assert link["href"].isascii()

    value = json.loads(forms.person("json", login, person, HERE))
    assert (value["login"], value["plan"], value["name"]) == (login, person.plan, person.name)

    card = forms.person("vcard", login, person, HERE)
    assert all(len(line) <= 75 for line in card.split(b"\r\n"))
    lines = card.decode().replace("\r\n ", "").split("\r\n")[:-1]
    assert all(line.partition(":")[0].partition(";")[0] in CARD for line in lines)
    assert not set("".join(lines)) & {"\r", "\n"}

    feed = fromstring(forms.people("atom", [Row(login, person, 0.0)], "plans", HERE))
    assert len(list(feed.iter())) == 6 + 9 * bool(person.plan)


TARGETS = (
    Target(
        "words",
        words,
        (SEPARATOR, b"<script>", b"</pre>", b"<!--", b"&lt;", b'">', b"https://", b"mailto:",
         b"javascript:", b"\r\nTEL:", b"\\n", b";", b",", b"]]>", b"</content>", b"{{", b"%"),
        runs=2000,
        longest=512,
    ),
)  # fmt: skip
