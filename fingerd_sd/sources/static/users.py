# SPDX-License-Identifier: MIT
"""A user as it is written down, in TOML or in JSON: a string, or a table of a person's atoms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Any

from fingerd_sd.config.mistakes import File
from fingerd_sd.config.table import Table
from fingerd_sd.protocol.entry import Entry, Link, Person, Status, Text
from fingerd_sd.protocol.query import is_name

MAX_FILE = 1 << 28  # octets of a TOML file of users: a million persons of 256 octets each
MAGIC = b"SQLite format 3\0"  # how a database begins: https://www.sqlite.org/fileformat.html
_TEXTS = ("name", "office", "phone", "home_phone", "status", "project", "plan", "key")


def read_user(users: Table, login: str, value: Any) -> tuple[Entry, Sequence[str]] | None:
    """Return the entry of `login`, which is `value` in `users`, and its aliases; None if it cannot
    be used. Mistakes go to the table.
    """
    if not is_name(login):
        users.wrong(login, "is no user name that a query can ask for")
        return None
    if isinstance(value, str):
        return Text(value, users.where(login)), ()
    if not isinstance(value, dict):
        users.wrong(login, "expected a string (the whole answer) or a table (a person)")
        return None
    person = users.inner(login, value)
    entry = _read_person(login, person)
    aliases = []
    for alias in person.strings("aliases", ()):
        if is_name(alias):
            aliases.append(alias)
        else:
            person.wrong("aliases", f'"{alias}" is no user name that a query can ask for')
    person.close()
    return entry, aliases


def is_database(path: File) -> bool:
    """Whether the file is SQLite's, whatever it is called. Raises FileNotFoundError."""
    try:
        with open(path, "rb") as stream:
            return stream.read(len(MAGIC)) == MAGIC
    except FileNotFoundError:
        raise
    except OSError:
        return False  # reading it will say why it cannot be read


def _read_person(login: str, table: Table) -> Person:
    texts = {atom: table.text(atom, None) for atom in _TEXTS}
    return Person(
        login,
        name=texts["name"],
        office=texts["office"],
        phone=texts["phone"],
        home_phone=texts["home_phone"],
        key=texts["key"],
        status=None if texts["status"] is None else Status(texts["status"]),
        project=texts["project"],
        plan=texts["plan"],
        links=tuple(_read_links(table)),
        origins=MappingProxyType({atom: table.where(atom) for atom in _TEXTS if texts[atom]}),
    )


def _read_links(table: Table) -> Iterator[Link]:
    links = table.value("links")
    if links is None:
        return
    expected = 'expected an array of tables such as {rel = "self", href = "https://example.org/"}'
    if not isinstance(links, list) or not all(isinstance(link, dict) for link in links):
        table.wrong("links", expected)
        return
    from fingerd_sd.protocol.links import fault  # few users have links

    for number, values in enumerate(links, 1):
        link = table.inner("links", values, number)
        rel, href, kind = link.text("rel", ""), link.text("href", ""), link.text("type", "")
        if not rel or not href:
            link.wrong("href" if rel else "rel", expected)
        elif why := fault(Link(rel, href, kind)):
            link.unwise(why.split()[0], f"the link is shown nowhere: {why}")
        link.close()
        yield Link(rel, href, kind)
