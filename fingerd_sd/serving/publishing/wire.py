# SPDX-License-Identifier: MIT
"""What goes over the keeper's socket: one JSON object and a line end each way.

Sans-I/O. A request says what to do, and never who asks: the kernel says that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from fingerd_sd.protocol.entry import Link
from fingerd_sd.protocol.links import MAX_LINKS, fault_of_user, link_of
from fingerd_sd.protocol.text import one_line

TEXTS = ("plan", "project", "key")  # atoms that are texts of several lines
ATOMS = (*TEXTS, "status")
LINKS = "links"  # no atom: who sees a person on the web sees them
DOINGS = ("publish", "show", "remove")
MAX_STATUS = 200  # characters: a status is one line of an answer

# Errors, as a program reads them.
NOT_ALLOWED, TOO_LARGE, TOO_MANY, TOO_OFTEN = "not_allowed", "too_large", "too_many", "too_often"
FULL, BAD_REQUEST, NOT_STORED = "full", "bad_request", "not_stored"


class Refused(Exception):  # noqa: N818  # an answer, no fault
    """A request that is not done. `error`: one of the words above; `say`: one line that says what
    is wrong and what to do.
    """

    def __init__(self, error: str, say: str) -> None:
        super().__init__(say)
        self.error = error
        self.say = say


class Status(NamedTuple):
    """A status and when it ends, in seconds since the epoch; None: it does not."""

    text: str
    until: float | None


class Request(NamedTuple):
    """What a user asks. `texts`, `status` and `links` are stored, and what `unset` names is
    dropped; the rest stays as it is. `who`: how often they were asked for is to be shown too.
    """

    do: str
    texts: Mapping[str, str] = {}
    status: Status | None = None
    unset: frozenset[str] = frozenset()
    who: bool = False
    links: tuple[Link, ...] | None = None


def longest(max_size: int) -> int:
    """Return how many octets a request may have, where texts of `max_size` octets are allowed: JSON
    writes an octet as six at most.
    """
    return 6 * max_size + 4096


def request(octets: bytes) -> Request:
    """Return the request that `octets` are. Raises Refused."""
    try:
        asked = json.loads(octets)
    except (ValueError, RecursionError):
        raise _bad("it is not JSON") from None
    if not isinstance(asked, dict) or asked.get("do") not in DOINGS:
        raise _bad(f"it has to say what to do: {', '.join(DOINGS)}")
    sets, unset = asked.get("set", {}), asked.get("unset", [])
    if not isinstance(sets, dict) or not isinstance(unset, list):
        raise _bad('"set" is an object, and "unset" an array')
    if unknown := [atom for atom in (*sets, *unset) if atom not in (*ATOMS, LINKS)]:
        can = ", ".join((*ATOMS, LINKS))
        raise _bad(f"{unknown[0]!r:.40} cannot be published; what can: {can}")
    texts = {atom: sets[atom] for atom in TEXTS if atom in sets}
    if not all(isinstance(text, str) and _is_text(text) for text in texts.values()):
        raise _bad("a text is not one of Unicode without NUL")
    if both := sets.keys() & set(unset):
        raise _bad(f"{min(both)} is both set and unset")
    if asked["do"] == "publish" and not sets and not unset:
        raise _bad("it publishes nothing")
    status = _status(sets["status"]) if "status" in sets else None
    links = _links(sets[LINKS]) if LINKS in sets else None
    return Request(asked["do"], texts, status, frozenset(unset), asked.get("who") is True, links)


def _status(value: Any) -> Status:
    text = value.get("text") if isinstance(value, dict) else None
    if not isinstance(text, str) or not text.strip() or not _is_text(text):
        raise _bad("a status is a text of one line")
    if len(text) > MAX_STATUS or "\n" in text or "\r" in text:
        raise Refused(
            TOO_LARGE, f"a status is one line of at most {MAX_STATUS} characters: shorten it"
        )
    until = value.get("until")
    if until is None:
        return Status(text, None)
    if isinstance(until, bool) or not isinstance(until, int | float) or not 0 < until < 1e11:
        raise _bad("the end of a status is a time in seconds since 1970")
    return Status(text, float(until))


def _links(value: Any) -> tuple[Link, ...]:
    links = [link_of(item) for item in value] if isinstance(value, list) else [None]
    if len(links) > MAX_LINKS:
        raise Refused(TOO_LARGE, f"{MAX_LINKS} links are allowed, and these are {len(links)}")
    for link in links:
        if link is None:
            raise _bad('a link is an object of the texts "rel", "href" and, perhaps, "type"')
        if why := fault_of_user(link):
            raise Refused(BAD_REQUEST, f'the link "{one_line(link.rel, 40)}" is refused: {why}')
    return tuple(filter(None, links))


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can write
        return False
    return "\0" not in text


def _bad(why: str) -> Refused:
    return Refused(BAD_REQUEST, f"the keeper cannot understand the request: {why}")


def well(**told: Any) -> bytes:
    """Return the response that all is well, with what is `told`."""
    return _line({"ok": True, **told})


def refusal(refused: Refused) -> bytes:
    """Return the response to a request that is not done."""
    return _line({"ok": False, "error": refused.error, "say": refused.say})


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value).encode("ascii") + b"\n"
