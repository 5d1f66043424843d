# SPDX-License-Identifier: MIT
"""The form vCard 4 (RFC 6350): what an address book keeps of a person.

Sans-I/O. That is no session, no mailbox and no status, which are over soon.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

from fingerd_sd.protocol.entry import Link, Person, Text
from fingerd_sd.protocol.layout.fields import phone_number
from fingerd_sd.protocol.text import printable
from fingerd_sd.serving.web.forms.linking import encoded, is_link
from fingerd_sd.serving.web.forms.values import AVATAR, Place, Row, path_of

MAX_LINE = 75  # octets of a line, without its end: RFC 6350 §3.2
_ARMOR = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
_KEY = "data:application/pgp-keys;base64,"  # RFC 3156 §7: the type of what is in armor


def person(row: Row, at: Place) -> bytes:
    """Return one user as a vCard."""
    lines = ["BEGIN:VCARD", "VERSION:4.0", *_properties(row, at), "END:VCARD"]
    return b"".join(map(folded, lines))


def folded(line: str) -> bytes:
    """Return a content line with its end, as lines of at most MAX_LINE octets, each but the first
    behind a blank. A character in UTF-8 stays whole. RFC 6350 §3.2.
    """
    octets = line.encode()
    parts: list[bytes] = []
    start, room = 0, MAX_LINE
    while len(octets) - start > room:
        end = start + room
        while octets[end] & 0xC0 == 0x80:  # a continuation octet: step back
            end -= 1
        parts.append(octets[start:end])
        start, room = end, MAX_LINE - 1
    return b"\r\n ".join([*parts, octets[start:]]) + b"\r\n"


def escaped(text: str) -> str:
    """Return `text`, printable, as a text value: RFC 6350 §4.1, TEXT-CHAR."""
    return text.replace("\\", "\\\\").replace(",", "\\,").replace("\n", "\\n")


def component(text: str) -> str:
    """Return `text`, printable, as one component of several: RFC 6350 §4.1, list-component."""
    return escaped(text).replace(";", "\\;")


def _properties(row: Row, at: Place) -> Iterator[str]:
    entry = row.entry
    page = f"{at.base}/{path_of(row.login)}"
    yield f"SOURCE:{page}.vcf"
    yield f"FN:{escaped((entry.name if isinstance(entry, Person) else None) or row.login)}"
    yield f"NICKNAME:{escaped(row.login)}"
    if isinstance(entry, Text):
        yield f"NOTE:{escaped(printable(entry.text))}"
    else:
        yield from _atoms(entry)
    yield f"URL:{page}"


def _atoms(person: Person) -> Iterator[str]:
    if person.office:
        yield f"ADR;TYPE=work:;;{component(person.office)};;;;"
    if person.phone:
        yield f"TEL;TYPE=work:{escaped(phone_number(person.phone))}"
    if person.home_phone:
        yield f"TEL;TYPE=home:{escaped(phone_number(person.home_phone))}"
    for link in person.links:
        yield from _link(link)
    if person.project:
        yield f"NOTE:{escaped(f'Project: {person.project}')}"
    if person.plan:
        yield f"NOTE:{escaped(person.plan)}"
    if person.key and _ARMOR in person.key:
        yield "KEY:" + _KEY + base64.b64encode(person.key.encode()).decode()
    elif person.key:
        yield f"KEY;VALUE=text:{escaped(person.key)}"


def _link(link: Link) -> Iterator[str]:
    if not is_link(link.href):
        return
    scheme, _, rest = link.href.partition(":")
    if scheme.lower() == "mailto":
        yield f"EMAIL:{escaped(rest.partition('?')[0])}"
    else:
        yield ("PHOTO:" if link.rel == AVATAR else "URL:") + encoded(link.href)
