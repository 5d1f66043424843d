# SPDX-License-Identifier: MIT
"""The form JSON: docs/schema/person.json, people.json and sentence.json describe it.

Sans-I/O. A member is there if its atom may be seen and is known. Times are RFC 3339's, in UTC.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fingerd_sd.protocol.entry import Entry, Login, Mail, Session, Status, Text
from fingerd_sd.protocol.links import told
from fingerd_sd.protocol.text import printable
from fingerd_sd.serving.web.forms.times import rfc3339, rfc3339_at
from fingerd_sd.serving.web.forms.values import Kind, Place, Row

_TEXTS = (
    "name",
    "directory",
    "shell",
    "office",
    "phone",
    "home_phone",
    "forward",
    "key",
    "project",
    "plan",
    "note",
)


def person(row: Row, at: Place) -> bytes:
    """Return one user: person.json."""
    return _octets(_user(row, at))


def people(rows: Sequence[Row], kind: Kind, at: Place, cut: bool) -> bytes:
    """Return a list: people.json. `cut`: whether there are more."""
    users = [_user(row, at) for row in rows]
    return _octets({"domain": at.domain, "kind": kind, "people": users, "cut": cut})


def sentence(status: int, text: str) -> bytes:
    """Return a sentence, with HTTP's `status`: sentence.json."""
    return _octets({"status": status, "text": text})


def _octets(value: Mapping[str, Any]) -> bytes:
    # A lone surrogate would be no UTF-8; printable() has replaced them all by now.
    return json.dumps(value, ensure_ascii=False, indent=2).encode() + b"\n"


def _user(row: Row, at: Place) -> dict[str, Any]:
    user: dict[str, Any] = {"login": row.login, "address": f"{row.login}@{at.domain}"}
    if row.at is not None:
        user["published"] = rfc3339_at(row.at)
    return user | _entry(row.entry)


def _entry(entry: Entry) -> dict[str, Any]:
    if isinstance(entry, Text):
        return {"text": printable(entry.text)}
    values: dict[str, Any] = {atom: getattr(entry, atom) for atom in _TEXTS}
    if entry.sessions is not None:
        values["sessions"] = [_session(session) for session in entry.sessions]
    if entry.last_login is not None:
        values["last_login"] = _login(entry.last_login)
    if entry.mail is not None:
        values["mail"] = _mail(entry.mail)
    if entry.status is not None:
        values["status"] = _status(entry.status)
    if entry.links:
        values["links"] = told(entry.links)
    return _known(values)


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _session(session: Session) -> dict[str, Any]:
    return _known(
        {
            "since": rfc3339(session.since),
            "tty": session.tty,
            "host": session.host,
            "idle": None if session.idle is None else max(0, int(session.idle)),
            "messages": session.messages,
            "machine": session.machine,
        }
    )


def _login(login: Login) -> dict[str, Any]:
    told = {"at": rfc3339(login.at), "tty": login.tty, "host": login.host}
    return _known({**told, "machine": login.machine})


def _mail(mail: Mail) -> dict[str, Any]:
    if mail.received is None or mail.read is None:
        return {}  # an empty mailbox
    return {"received": rfc3339(mail.received), "read": rfc3339(mail.read)}


def _status(status: Status) -> dict[str, Any]:
    until = None if status.until is None else rfc3339(status.until)
    return _known({"text": status.text, "until": until})
