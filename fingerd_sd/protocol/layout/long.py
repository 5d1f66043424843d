# SPDX-License-Identifier: MIT
"""The long form: everything about each user that the client may see.

Sans-I/O. The layout is that of BSD's finger, which people and scripts know. This module obeys
RFC 1288 §2.5.2 ({U} has the full name) and §3.2.3 (the administrator selects the atoms).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from fingerd_sd.protocol.entry import Entry, Person, Text
from fingerd_sd.protocol.layout.fields import MAX_FIELD, phone_number
from fingerd_sd.protocol.layout.logins import mail_lines, session_lines, status_lines
from fingerd_sd.protocol.text import CUT_MARK, one_line, printable

MAX_TEXT = 131072  # characters of a plan, project or key: more than a user's file may have

_TAB = 8  # columns between tab stops
_SECOND_COLUMN = 40  # where the right-hand field of a line begins
_SCREEN = 80


def long_form(entries: Sequence[Entry], show: Collection[str], now: float = math.inf) -> str:
    """Return the long form of `entries`, a blank line between two, with only the atoms in `show`.

    `show`: names out of entry.ATOMS. `now`: seconds since the epoch; math.inf leaves no year out. A
    Text is the whole answer of its user and shown verbatim.
    """
    texts = [
        _ended(entry.text) if isinstance(entry, Text) else _person(entry, show, now)
        for entry in entries
    ]
    return "\n".join(texts)


def _ended(text: str) -> str:
    return text if text.endswith(("\n", "\r")) else text + "\n"


def _person(person: Person, show: Collection[str], now: float) -> str:
    def line(atom: str) -> str:
        value = getattr(person, atom) if atom in show else None
        return one_line(value, MAX_FIELD) if value else ""

    login, name = one_line(person.login, MAX_FIELD), line("name")
    named = person.name is not None and "name" in show  # an account's may be empty, as for BSD
    lines = [f"Login: {login:<15}\t\t\tName: {name}" if named else f"Login: {login}"]
    directory, shell = line("directory"), line("shell")
    if directory and shell:
        lines.append(f"Directory: {directory:<25}\tShell: {shell}")
    elif directory or shell:
        lines.append(f"Directory: {directory}" if directory else f"Shell: {shell}")
    lines += _in_columns(_contacts(line("office"), line("phone"), line("home_phone")))
    if "sessions" in show:
        lines += session_lines(person, now)
    if person.forward is not None and "forward" in show and (to := person.forward.strip()):
        lines += bounded(f"Mail forwarded to {to}")
    if person.mail is not None and "mail" in show:
        lines += mail_lines(person.mail)
    if person.key is not None and "key" in show:
        lines += ["PGP key:", *bounded(person.key)]
    if person.status is not None and "status" in show:
        lines += status_lines(person.status, now)
    if person.project is not None and "project" in show:
        lines += ["Project:", *bounded(person.project)]
    if "plan" in show:
        lines += ["No Plan."] if person.plan is None else ["Plan:", *bounded(person.plan)]
    if person.note:
        lines.append(one_line(person.note, MAX_FIELD))
    return "\n".join(lines) + "\n"


def bounded(text: str) -> list[str]:
    """Return `text` as lines, none for an empty one, cut at MAX_TEXT with a mark that says so."""
    lines = printable(text[:MAX_TEXT]).removesuffix("\n").split("\n") if text else []
    return lines if len(text) <= MAX_TEXT else [*lines, CUT_MARK]


def _contacts(office: str, phone: str, home_phone: str) -> list[str]:
    """Return the fields of the line of offices and phones; a short office and its phone are one."""
    fields = []
    if office and phone and len(office) + len(phone) + len("Office: ,") <= _SECOND_COLUMN:
        fields.append(f"Office: {office}, {phone_number(phone)}")
    else:
        if office:
            fields.append(f"Office: {office}")
        if phone:
            fields.append(f"Office Phone: {phone_number(phone)}")
    if home_phone:
        fields.append(f"Home Phone: {phone_number(home_phone)}")
    return fields


def _in_columns(fields: Sequence[str]) -> list[str]:
    """Return `fields` as lines, two to a line where the right-hand one fits on the screen; tabs
    fill the space between, as BSD's finger does.
    """
    lines: list[str] = []
    left = None
    for field in fields:
        if left is None:
            left = field
            continue
        start = (max(_SECOND_COLUMN, len(left)) // _TAB + 1) * _TAB
        if start + len(field) <= _SCREEN:
            tabs = 1 + max(0, -(-(_SECOND_COLUMN - _TAB - len(left)) // _TAB))
            lines.append(left + "\t" * tabs + field)
            left = None
        else:
            lines.append(left)
            left = field
    return lines if left is None else [*lines, left]
