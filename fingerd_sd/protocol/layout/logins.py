# SPDX-License-Identifier: MIT
"""The lines of the long form that tell a time: sessions, the last login, mail, the status.

Sans-I/O: the time comes in as an argument. The layout is that of BSD's finger (finger(1)), with one
correction: what is not known is left out. It is never "Never logged in.", since no record of logins
holds all of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

from fingerd_sd.protocol.entry import Login, Mail, Person, Session, Status
from fingerd_sd.protocol.layout.fields import HALF_A_YEAR, field, is_known

MAX_SESSIONS = 200  # of one user, the last ones: more than anybody reads


def session_lines(person: Person, now: float) -> list[str]:
    """Return the lines on sessions, or else on the last login. `now`: seconds since the epoch."""
    sessions = person.sessions or ()
    shown = sessions[-MAX_SESSIONS:]
    widest = max((len(field(session.tty)) for session in shown), default=0)
    lines = [line for session in shown for line in _on_since(session, widest)]
    if len(shown) < len(sessions):
        lines.insert(0, f"[earlier sessions left out: {len(sessions) - len(shown)}]")
    last = person.last_login
    if last is not None and not is_one_of(last, sessions):
        lines.append(f"Last login {_when(last.at, now)}{_where(last.tty, last.host, last.machine)}")
    return lines


def mail_lines(mail: Mail) -> list[str]:
    """Return the line on a mailbox."""
    if mail.received is None or mail.read is None:
        return ["No mail."]
    if mail.received > mail.read:
        received, read = _with_year(mail.received), _with_year(mail.read)
        return [f"New mail received {received}", f"     Unread since {read}"]
    return [f"Mail last read {_with_year(mail.read)}"]


def status_lines(status: Status, now: float) -> list[str]:
    """Return the line on a status, with the hour when it ends; none if that has come. BSD's finger
    has no such line.
    """
    text = field(status.text)
    if not text or status.ended(now):
        return []
    return [f"Status: {text}{_until(status.until, now)}"]


def _until(end: datetime | None, now: float) -> str:
    if end is None:
        return ""
    today = math.isfinite(now) and datetime.fromtimestamp(now, end.tzinfo).date() == end.date()
    if today:
        return f" (until {end:%H:%M})"
    year = " %Y" if end.timestamp() - now >= HALF_A_YEAR else ""
    return f" (until {end:%a %b %e %H:%M{year}})"


def _on_since(session: Session, widest: int) -> list[str]:
    tty, host = field(session.tty), field(session.host)
    where = _where(tty, host, session.machine)
    lines = [f"On since {session.since:%a %b %e %H:%M (%Z)}{where}"]
    idle = idle_words(session.idle) if is_known(session.idle) else ""
    if idle:
        idle = " " * (widest - len(tty) + 3) + idle
        if host or session.machine:
            lines.append(idle)
        else:
            lines[-1] += idle
    if session.messages is False:
        if idle:
            lines.append("     (messages off)")
        else:
            lines[-1] += " (messages off)"
    return lines


def _where(tty: str | None, host: str | None, machine: str | None) -> str:
    words = (("on", field(tty)), ("at", field(machine)), ("from", field(host)))
    return "".join(f" {word} {what}" for word, what in words if what)


def is_one_of(last: Login, sessions: Sequence[Session]) -> bool:
    """Whether `last` is one of `sessions`. It is none of them only if it came after one of them on
    the same machine and on another terminal. Times alone do not decide, since one login reads the
    clock twice.
    """
    there = [session for session in sessions if session.machine == last.machine]
    if not there:
        return False
    return any(session.tty == last.tty for session in there) or all(
        session.since >= last.at for session in there
    )


def _when(at: datetime, now: float) -> str:
    if now - at.timestamp() >= HALF_A_YEAR:
        return _with_year(at)
    return f"{at:%a %b %e %H:%M (%Z)}"


def _with_year(at: datetime) -> str:
    return f"{at:%a %b %e %H:%M %Y (%Z)}"


def idle_words(seconds: float) -> str:
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
