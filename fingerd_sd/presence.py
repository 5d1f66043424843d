# SPDX-License-Identifier: MIT
"""Who is here, as text: the lines of the long form on sessions and mail, the short form's rows.

Sans-I/O: the time comes in as an argument. The layout is that of BSD's finger (finger(1)), but for
what that gets wrong: what is not known is left out, or is a "?", and is never "Never logged in.",
since no record of logins holds all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from fingerd_sd.entry import Entry, Mail, Person, Session, Text
from fingerd_sd.text import one_line

MAX_FIELD = 256  # characters of a one-line atom: a screen's line three times over
HALF_A_YEAR = 365 * 86400 / 2  # seconds: from then on the year matters more than the hour

_MIN_COLUMN = 8  # columns of logins and of names, at the least
_BOTH_COLUMNS = 30  # columns of logins and names together: what a screen of 80 has left
_NO_SESSION = " " * 28  # as wide as a tty, an idle time and a login time


def session_lines(person: Person, now: float) -> list[str]:
    """Return where `person` is logged in, or else was last. `now`: seconds since the epoch."""
    sessions = person.sessions or ()
    widest = max((len(_field(session.tty)) for session in sessions), default=0)
    lines = [line for session in sessions for line in _on_since(session, widest)]
    last = person.last_login
    if last is not None and not _is_one_of(last.at, last.tty, sessions):
        lines.append(f"Last login {_when(last.at, now)}{_where(last.tty, last.host)}")
    return lines


def mail_lines(mail: Mail) -> list[str]:
    """Return what is to be said of a mailbox."""
    if mail.received is None or mail.read is None:
        return ["No mail."]
    if mail.received > mail.read:
        received, read = _with_year(mail.received), _with_year(mail.read)
        return [f"New mail received {received}", f"     Unread since {read}"]
    return [f"Mail last read {_with_year(mail.read)}"]


def short_form(rows: Sequence[tuple[str, Entry]], show: Collection[str], now: float) -> str:
    """Return a line for each session of each login in `rows`, under a line of titles. An entry
    without sessions has one line: an item of a vending machine (RFC 1288 §2.5.5) is not logged in.
    `rows`: at least one. `show`: names out of entry.ATOMS. `now`: seconds since the epoch.
    """
    logins = [_field(login) for login, _ in rows]
    names = [_name(entry) if "name" in show else "" for _, entry in rows]
    width, name_width = _widths(logins, names)
    titles = f"{'Login':<{width}} "
    if "name" in show:
        titles += f"{'Name':<{name_width}} "
    if "sessions" in show:
        titles += " Tty      Idle  Login Time  "
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
            host = _field(session.host)
            lines.append(row + _presence(session, now) + (f" ({host})" if host else desk))
        if not sessions:
            blank = _NO_SESSION if "sessions" in show else ""
            lines.append((row + blank + desk).rstrip())
    return "\n".join(lines) + "\n"


def phone_number(digits: str) -> str:
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


def _field(text: str | None) -> str:
    return one_line(text, MAX_FIELD) if text else ""


def _on_since(session: Session, widest: int) -> list[str]:
    tty, host = _field(session.tty), _field(session.host)
    lines = [f"On since {session.since:%a %b %e %H:%M (%Z)}{_where(tty, host)}"]
    idle = _idle_words(session.idle or 0)
    if idle:
        idle = " " * (widest - len(tty) + 3) + idle
        if host:
            lines.append(idle)
        else:
            lines[-1] += idle
    if session.messages is False:
        if idle:
            lines.append("     (messages off)")
        else:
            lines[-1] += " (messages off)"
    return lines


def _where(tty: str | None, host: str | None) -> str:
    tty, host = _field(tty), _field(host)
    return (f" on {tty}" if tty else "") + (f" from {host}" if host else "")


def _is_one_of(at: datetime, tty: str | None, sessions: Sequence[Session]) -> bool:
    """Whether the last login is one of `sessions`: it is none of them only where it came after one
    and on another terminal; clocks are read twice for one login, so that times alone do not tell.
    """
    if not sessions:
        return False
    return any(session.tty == tty for session in sessions) or all(
        session.since >= at for session in sessions
    )


def _when(at: datetime, now: float) -> str:
    if now - at.timestamp() >= HALF_A_YEAR:
        return _with_year(at)
    return f"{at:%a %b %e %H:%M (%Z)}"


def _with_year(at: datetime) -> str:
    return f"{at:%a %b %e %H:%M %Y (%Z)}"


def _idle_words(seconds: float) -> str:
    """Return an idle time as words: the two coarsest of days, hours, minutes, seconds."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    day, hour = divmod(hours, 24)
    parts = [(day, "day"), (hour, "hour")]
    if not day:
        parts.append((minute, "minute"))
        if not hour:
            parts.append((second, "second"))
    words = [f"{count} {unit}{'' if count == 1 else 's'} " for count, unit in parts if count]
    return "".join(words) + "idle" if words else ""


def _presence(session: Session, now: float) -> str:
    """Return the part of a row on a session: as wide as _NO_SESSION."""
    flag = "*" if session.messages is False else " "
    at = session.since
    time = f"{at:%b %e}"
    time += f"  {at:%Y}" if now - at.timestamp() >= HALF_A_YEAR else f" {at:%H:%M}"
    return f"{flag}{_field(session.tty)[:7]:<7} {_idle_column(session.idle):>5}  {time}"


def _idle_column(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    minutes = int(seconds) // 60
    hours, minute = divmod(minutes, 60)
    if hours >= 24:
        return f"{hours // 24}d"
    if hours:
        return f"{hours}:{minute:02}"
    return str(minute) if minute else ""


def _desk(person: Person, show: Collection[str]) -> str:
    office = _field(person.office) if "office" in show else ""
    phone = _field(person.phone) if "phone" in show else ""
    column = f" {office[:10]:<10}" if office or (phone and "office" in show) else ""
    return column + (f" {phone_number(phone)[:14]}" if phone else "")


def _name(entry: Entry) -> str:
    """Return the full name in a row (RFC 1288 §2.5.1); of a text, its first line."""
    if isinstance(entry, Text):
        return _field(entry.text.strip().partition("\n")[0])
    return _field(entry.name)


def _widths(logins: Sequence[str], names: Sequence[str]) -> tuple[int, int]:
    """Return how wide the columns of logins and names are: as wide as they must be, logins first,
    within _BOTH_COLUMNS; one wider where that leaves space.
    """
    login = max(_MIN_COLUMN, *map(len, logins))
    name = max(_MIN_COLUMN, *map(len, names))
    if login + name > _BOTH_COLUMNS:
        name = max(_MIN_COLUMN, _BOTH_COLUMNS - login)
    if login + name < _BOTH_COLUMNS - 2:
        return login + 1, name + 1
    return login, name
