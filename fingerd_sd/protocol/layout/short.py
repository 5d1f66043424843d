# SPDX-License-Identifier: MIT
"""The short form: a row for each session of each user, under a line of titles.

Sans-I/O: the time comes in as an argument. The layout is that of BSD's finger (finger(1)). "?"
stands for what is not known.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from fingerd_sd.protocol.entry import Entry, Person, Session, Text
from fingerd_sd.protocol.layout.fields import day_and_hour, field, is_known, phone_number

_MIN_COLUMN = 8  # columns of logins and of names, at the least
_BOTH_COLUMNS = 30  # columns of logins and names together: what a screen of 80 has left
_NO_SESSION = " " * 28  # as wide as a tty, an idle time and a login time


def short_form(rows: Sequence[tuple[str, Entry]], show: Collection[str], now: float) -> str:
    """Return a line for each session of each login in `rows`, under a line of titles. An entry
    without sessions has one line: an item of a vending machine (RFC 1288 §2.5.5) is not logged in.
    Where sessions name their machines, a column "On" has those.
    `rows`: at least one. `show`: names out of entry.ATOMS. `now`: seconds since the epoch.
    """
    logins = [field(login) for login, _ in rows]
    names = [_name(entry) if "name" in show else "" for _, entry in rows]
    width, name_width = widths(logins, names)
    machines = [
        len(field(session.machine))
        for _, entry in rows
        if isinstance(entry, Person) and "sessions" in show
        for session in entry.sessions or ()
        if session.machine
    ]
    machine_width = max(_MIN_COLUMN, *machines) if machines else 0
    titles = f"{'Login':<{width}} "
    if "name" in show:
        titles += f"{'Name':<{name_width}} "
    if "sessions" in show:
        titles += " Tty      Idle  Login Time  "
    if machines:
        titles += f" {'On':<{machine_width}}"
    if "office" in show:
        titles += " Office    "
    if "phone" in show:
        titles += " Office Phone"
    lines = [titles.rstrip()]
    for login, name, (_, entry) in zip(logins, names, rows, strict=True):
        row = f"{login:<{width}} "
        if "name" in show:
            row += f"{name[:name_width]:<{name_width}} "
        person = entry if isinstance(entry, Person) else None
        desk = _desk(person, show) if person else ""
        sessions = (person.sessions if person and "sessions" in show else None) or ()
        for session in sessions:
            host = field(session.host)
            told = row + _presence(session, now)
            if machines:
                told += f" {field(session.machine):<{machine_width}}"
            lines.append(told + (f" ({host})" if host else desk) if host or desk else told.rstrip())
        if not sessions:
            blank = _NO_SESSION if "sessions" in show else ""
            if machines:
                blank += " " * (machine_width + 1)
            lines.append((row + blank + desk).rstrip())
    return "\n".join(lines) + "\n"


def _presence(session: Session, now: float) -> str:
    """Return the part of a row that describes a session; it is as wide as _NO_SESSION."""
    flag = "*" if session.messages is False else " "
    since = day_and_hour(session.since, now)
    return f"{flag}{field(session.tty)[:7]:<7} {_idle_column(session.idle):>5}  {since}"


def _idle_column(seconds: float | None) -> str:
    if not is_known(seconds):
        return "?"
    minutes = int(seconds) // 60
    hours, minute = divmod(minutes, 60)
    if hours >= 24:
        return f"{hours // 24}d"
    if hours:
        return f"{hours}:{minute:02}"
    return str(minute) if minute else ""


def _desk(person: Person, show: Collection[str]) -> str:
    office = field(person.office) if "office" in show else ""
    phone = field(person.phone) if "phone" in show else ""
    column = f" {office[:10]:<10}" if office or (phone and "office" in show) else ""
    return column + (f" {phone_number(phone)[:14]}" if phone else "")


def _name(entry: Entry) -> str:
    """Return the full name in a row (RFC 1288 §2.5.1); of a text, its first line."""
    if isinstance(entry, Text):
        return field(entry.text.strip().partition("\n")[0])
    return field(entry.name)


def widths(logins: Sequence[str], names: Sequence[str]) -> tuple[int, int]:
    """Return how wide the columns of logins and names are: as wide as they must be, logins first,
    within _BOTH_COLUMNS. If that leaves space, a column gets one more.
    """
    login = max(_MIN_COLUMN, *map(len, logins))
    name = max(_MIN_COLUMN, *map(len, names))
    if login + name > _BOTH_COLUMNS:
        name = max(_MIN_COLUMN, _BOTH_COLUMNS - login)
    if login + name < _BOTH_COLUMNS - 2:
        return login + 1, name + 1
    return login, name
