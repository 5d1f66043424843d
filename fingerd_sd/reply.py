# SPDX-License-Identifier: MIT
"""An entry becomes octets: the long form, visible atoms only, printable, every line in CRLF.

Sans-I/O. The layout is that of BSD's finger, which people and scripts know; RFC 1288 §2.2 (line
ends), §2.5.2 ({U} has the full name), §3.2.3 (the administrator selects the atoms), §3.3 (no
control characters) are kept here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from fingerd_sd.entry import Entry, Person, Text
from fingerd_sd.text import one_line, printable

NO_SUCH_USER = "No such user"
LIST_DENIED = "Finger online user list denied"
FORWARDING_DENIED = "Finger forwarding service denied"
INTERNAL_ERROR = "Internal error in server"
MALFORMED = "Malformed query"
LIMITED = "Too many queries, try again later"

MAX_FIELD = 256  # characters of a one-line atom: a screen's line three times over
MAX_TEXT = 131072  # characters of a plan, project or key; more than a file of a user may have
CUT_MARK = "[the rest was cut off]"

_TAB = 8  # columns between tab stops
_SECOND_COLUMN = 40  # where the right-hand field of a line begins
_SCREEN = 80


def encode(text: str) -> bytes:
    """Return `text` as it goes out: printable, UTF-8, CRLF line ends, the last line ended too."""
    shown = printable(text)
    if not shown.endswith("\n"):
        shown += "\n"
    # A source may hold lone surrogates (JSON, file names); printable() has replaced them by now.
    return shown.replace("\n", "\r\n").encode("utf-8")


def long_form(entries: Sequence[Entry], show: Collection[str]) -> str:
    """Return the long form of `entries`, a blank line between two, with only the atoms in `show`.

    `show`: names out of entry.ATOMS. A Text is the whole answer of its user and shown verbatim.
    """
    return "\n".join(
        entry.text if isinstance(entry, Text) else _person(entry, show) for entry in entries
    )


def _person(person: Person, show: Collection[str]) -> str:
    def line(atom: str) -> str:
        value = getattr(person, atom) if atom in show else None
        return one_line(value, MAX_FIELD) if value else ""

    login, name = one_line(person.login, MAX_FIELD), line("name")
    lines = [f"Login: {login:<15}\t\t\tName: {name}" if name else f"Login: {login}"]
    directory, shell = line("directory"), line("shell")
    if directory and shell:
        lines.append(f"Directory: {directory:<25}\tShell: {shell}")
    elif directory or shell:
        lines.append(f"Directory: {directory}" if directory else f"Shell: {shell}")
    lines += _in_columns(_contacts(line("office"), line("phone"), line("home_phone")))
    for atom, title in (("key", "PGP key:"), ("project", "Project:"), ("plan", "Plan:")):
        text = getattr(person, atom) if atom in show else None
        if text is not None:
            lines += [title, *_bounded(text)]
        elif atom == "plan" and atom in show:
            lines.append("No Plan.")
    return "\n".join(lines) + "\n"


def _bounded(text: str) -> list[str]:
    """Return `text` as lines, none for an empty one, cut at MAX_TEXT with a mark that says so."""
    lines = printable(text[:MAX_TEXT]).removesuffix("\n").split("\n") if text else []
    return lines if len(text) <= MAX_TEXT else [*lines, CUT_MARK]


def _contacts(office: str, phone: str, home_phone: str) -> list[str]:
    """Return the fields of the line of offices and phones; a short office and its phone are one."""
    fields = []
    if office and phone and len(office) + len(phone) + len("Office: ,") <= _SECOND_COLUMN:
        fields.append(f"Office: {office}, {_phone(phone)}")
    else:
        if office:
            fields.append(f"Office: {office}")
        if phone:
            fields.append(f"Office Phone: {_phone(phone)}")
    if home_phone:
        fields.append(f"Home Phone: {_phone(home_phone)}")
    return fields


def _phone(digits: str) -> str:
    """Return a number of 11, 10, 7, 5 or 4 digits with its hyphens; any other as it was written."""
    if not (digits.isascii() and digits.isdigit()):
        return digits
    match len(digits):
        case 11:
            return f"+{digits[0]}-{digits[1:4]}-{digits[4:7]}-{digits[7:]}"
        case 10:
            return f"{digits[:3]}-{digits[3:6]}-{digits[6:]}"
        case 7:
            return f"{digits[:3]}-{digits[3:]}"
        case 5:
            return f"x{digits[0]}-{digits[1:]}"
        case 4:
            return f"x{digits}"
    return digits


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
