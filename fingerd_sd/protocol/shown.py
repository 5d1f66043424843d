# SPDX-License-Identifier: MIT
"""What may be seen of a person, as values: for answers that are no text of finger's.

Sans-I/O: the time comes in as an argument. protocol/layout/ does the same while it lays out.
RFC 1288 §3.2.3: the administrator selects the atoms. §3.3: nothing unprintable leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from fingerd_sd.protocol.entry import ATOMS, Login, Person, Session, Status
from fingerd_sd.protocol.layout.fields import field, is_known
from fingerd_sd.protocol.layout.logins import is_one_of
from fingerd_sd.protocol.layout.long import bounded
from fingerd_sd.protocol.links import showable


def shown(person: Person, show: Collection[str], now: float) -> Person:
    """Return `person` with only the atoms in `show`, printable and bounded as in the long form.

    `show`: names out of entry.ATOMS. `now`: seconds since the epoch. A status that has ended is
    None, and so is a last login that is one of the sessions, an idle time that is not known, and a
    field that is left with no character, but for `name`. Links that may not be shown are left out:
    see protocol/links.py.
    """
    atoms: dict[str, Any] = dict.fromkeys(ATOMS)
    for atom in show:
        atoms[atom] = _SHOWN.get(atom, _same)(getattr(person, atom))
    if person.status is not None and person.status.ended(now):
        atoms["status"] = None
    last = person.last_login if "sessions" in show else None
    if last is not None and is_one_of(last, person.sessions or ()):
        last = None
    return Person(
        field(person.login),
        **atoms,
        last_login=None
        if last is None
        else Login(last.at, _line(last.tty), _line(last.host), _line(last.machine)),
        links=showable(person.links),
        lifetime=person.lifetime,
        note=_line(person.note),
    )


def _same(value: Any) -> Any:
    return value


def _name(text: str | None) -> str | None:
    return None if text is None else field(text)


def _line(text: str | None) -> str | None:
    return field(text) or None


def _lines(text: str | None) -> str | None:
    return None if text is None else "\n".join(bounded(text))


def _address(text: str | None) -> str | None:
    return "\n".join(bounded(text.strip())) or None if text else None


def _sessions(sessions: tuple[Session, ...] | None) -> tuple[Session, ...] | None:
    if sessions is None:
        return None
    return tuple(
        session._replace(
            tty=_line(session.tty),
            host=_line(session.host),
            idle=session.idle if is_known(session.idle) else None,
            machine=_line(session.machine),
        )
        for session in sessions
    )


def _status(status: Status | None) -> Status | None:
    text = field(status.text) if status else ""
    return Status(text, status.until) if status and text else None


_SHOWN: Mapping[str, Callable[[Any], Any]] = {
    "name": _name,
    "directory": _line,
    "shell": _line,
    "office": _line,
    "phone": _line,
    "home_phone": _line,
    "sessions": _sessions,
    "forward": _address,
    "key": _lines,
    "status": _status,
    "project": _lines,
    "plan": _lines,
}
