# SPDX-License-Identifier: MIT
"""What a publish makes of an entry, and whether that is within its limits. Sans-I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from fingerd_sd.config.publish import PublishKeys
from fingerd_sd.protocol import links
from fingerd_sd.serving.publishing import wire
from fingerd_sd.sources.published.person import Row, links_of

HOUR = 3600.0  # seconds
KEEP_GONE = 30 * 86400.0  # seconds that an entry is kept whose account is gone

_NOTHING = (None, None, None, None, None, None, "[]")  # the texts of who has published nothing


class Looked(NamedTuple):
    """What NSS says of those with an entry. `missing`: login and uid of accounts that are gone;
    `gecos`: parts of the field of those that are there, by login; nobody whom NSS could not tell.
    `uids`: of all who were looked for.
    """

    missing: frozenset[tuple[str, int]] = frozenset()
    gecos: Mapping[str, Mapping[str, str]] = {}
    uids: Mapping[str, int] = {}


def nobody(login: str, uid: int, now: float) -> Row:
    """Return the entry of who has published nothing."""
    return Row(login, uid, now, *_NOTHING)


def changed(before: Row, asked: wire.Request, now: float) -> Row:
    """Return what `asked` makes of `before`. `now`: seconds since the epoch."""
    texts: dict[str, Any] = dict.fromkeys(asked.unset - {wire.LINKS}) | dict(asked.texts)
    after = before._replace(**texts)._replace(at=max(now, before.at))  # a clock may be set back
    if "status" in asked.unset:
        after = after._replace(until=None)
    if asked.status is not None:
        after = after._replace(status=asked.status.text, until=asked.status.until)
    if wire.LINKS in asked.unset:
        after = after._replace(links="[]")
    if asked.links is not None:
        after = after._replace(links=json.dumps(links.told(asked.links)))
    lines = (after.plan or "").strip().splitlines()
    return after._replace(first=lines[0][:200] if lines else None)


def is_empty(row: Row) -> bool:
    """Whether nothing is left of an entry."""
    return all(text is None for text in row[3:7]) and not links_of(row)


def need_size(after: Row, limits: PublishKeys) -> None:
    """Raise Refused if `after` is too large."""
    parts = (part for link in links_of(after) for part in link)
    size = sum(len((text or "").encode()) for text in (*after[3:7], *parts))
    if size > limits.max_size:
        raise wire.Refused(
            wire.TOO_LARGE,
            f"all that you publish would have {size} octets, and {limits.max_size} are"
            " allowed: shorten it",
        )


def too_many(limits: PublishKeys) -> wire.Refused:
    """Return the refusal of one more user."""
    return wire.Refused(
        wire.TOO_MANY,
        f"{limits.max_people} users have published, and no more may: ask the"
        " administrator to raise max_people in [publish]",
    )


def too_often(limits: PublishKeys) -> wire.Refused:
    """Return the refusal of one more publish in this hour."""
    return wire.Refused(
        wire.TOO_OFTEN, f"you have published {limits.per_hour} times this hour: try again later"
    )
