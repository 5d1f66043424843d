# SPDX-License-Identifier: MIT
"""What the forms take: where an answer is, whom it is about, and which form it is to have."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias
from urllib.parse import quote

from fingerd_sd.protocol.entry import Entry, Text
from fingerd_sd.protocol.text import one_line, printable

AVATAR = "http://webfinger.net/rel/avatar"  # the relation of a picture: https://webfinger.net/rel/
SUFFIXES = (".txt", ".json", ".vcf")  # of a user's address, for a form
MAX_FIRST = 200  # characters of the line that stands for a plan in a list

Form: TypeAlias = Literal["html", "text", "json", "vcard", "atom"]
Kind: TypeAlias = Literal["sessions", "plans"]  # of a list: who is here, who published lately

# RFC 6839, RFC 8259 (JSON has no charset), RFC 6350 §10.1, RFC 4287 §7.
TYPES: Mapping[Form, str] = MappingProxyType(
    {
        "html": "text/html; charset=utf-8",
        "text": "text/plain; charset=utf-8",
        "json": "application/json",
        "vcard": "text/vcard; charset=utf-8",
        "atom": "application/atom+xml; charset=utf-8",
    }
)


class Place(NamedTuple):
    """Where an answer is. Nothing here comes from what a client sends. `domain`: what is shown
    behind the "@" of a user. `base`: for what must be absolute, such as "https://example.org".
    """

    domain: str
    base: str


class Row(NamedTuple):
    """One user of a list. `entry`: a Person that went through protocol/shown.py, or a Text. `at`:
    when it was published, in seconds since the epoch.
    """

    login: str
    entry: Entry
    at: float | None = None


def first_line(entry: Entry) -> str:
    """Return the first line, of the plan or of a text, that has a word; "" if there is none."""
    text = printable(entry.text) if isinstance(entry, Text) else entry.plan or ""
    return one_line(text.lstrip().partition("\n")[0], MAX_FIRST)


def path_of(login: str) -> str:
    """Return where a user's page is, relative to the site's root; a form's suffix may follow. A
    name that ends as with a suffix has that dot encoded: see target.py.
    """
    path = quote(login, safe="")
    return "~" + (path.replace(".", "%2E") if path.endswith(SUFFIXES) else path)
