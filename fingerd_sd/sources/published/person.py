# SPDX-License-Identifier: MIT
"""What a user has published, and the person that this makes: the same whichever store has it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from fingerd_sd.protocol.entry import Link, Person, Status
from fingerd_sd.protocol.links import published

_TIME = "%a %b %e %H:%M:%S %Y (%Z)"
_TEXTS = ("key", "status", "project", "plan")


class Row(NamedTuple):
    """What a user has published, as in the SCHEMA of store.py. `at`, `until`: seconds since the
    epoch. `until`: when the status ends; None: it does not.
    """

    login: str
    uid: int
    at: float
    plan: str | None
    project: str | None
    key: str | None
    status: str | None
    until: float | None
    first: str | None
    links: str


def links_of(row: Row) -> tuple[Link, ...]:
    """Return the links of `row`; what is malformed is left out, whoever has written it."""
    if row.links == "[]":
        return ()
    try:
        return published(json.loads(row.links))
    except (ValueError, TypeError, RecursionError):
        return ()


def person_of(
    row: Row,
    gecos: Mapping[str, str],
    origin: str,
    now: float,
    lifetime: float,
    where: str = "",
) -> Person:
    """Return what `row` tells of its user, without a status that has ended. `gecos`: name, office,
    phone and home_phone, those that are known, and their `origin`. `now`: seconds since the epoch.
    `lifetime`: seconds that this is good for at most. `where`: " at" the host that published it.
    """
    told = f"published {_moment(row.at):{_TIME}}{where}"
    origins = {atom: told for atom in _TEXTS if getattr(row, atom) is not None}
    status = None
    if row.status is not None:
        status = Status(row.status, None if row.until is None else _moment(row.until))
        if status.ended(now):
            status, origins["status"] = None, f"{told}, but it has ended"
        elif row.until is not None:
            lifetime = min(lifetime, row.until - now)
    origins |= dict.fromkeys(("name", *gecos), origin)
    return Person(
        login=row.login,
        name=gecos.get("name", ""),
        office=gecos.get("office"),
        phone=gecos.get("phone"),
        home_phone=gecos.get("home_phone"),
        key=row.key,
        status=status,
        project=row.project,
        plan=row.plan,
        links=links_of(row),
        origins=MappingProxyType(origins),
        beneath=True,
        lifetime=lifetime,
        uid=row.uid,
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds).astimezone()
