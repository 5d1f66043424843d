# SPDX-License-Identifier: MIT
"""What the fleet's store has: another host that writes there may have been taken over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fingerd_sd.protocol.text import is_printable
from fingerd_sd.store import people

from .target import SEPARATOR, Target

NAMES = tuple(name.encode() for name in people.NAMES)


def stored(octets: bytes) -> None:
    """A hash of any fields is an entry that could have been written, or a line says why not."""
    found = {}
    for part in octets.split(SEPARATOR):
        name, _, value = part.partition(b"=")
        found[name] = value
    entry = _told(people.read, found)
    if entry is not None:
        again = {name.encode(): value for name, value in people.fields(entry).items()}
        assert people.read("alice", again) == entry
        assert set(again) <= set(NAMES)
        for line in (entry.host, entry.name, entry.office, entry.phone, entry.home_phone):
            assert is_printable(line or "")
        assert "\n" not in (entry.status or "")
        assert sum(map(len, again.values())) <= people.MAX_WHOLE + 8 * people.MAX_GECOS
    said = [found.get(name) for name in NAMES]
    for reply in (said, [*found, *found.values()], octets, found):
        _told(people.entry_of, reply)
    for login, at in people.recent_of([*found, *found.values()], 1e9):
        assert is_printable(login)
        assert 0 <= at <= 1e9


def _told(read: Callable[[str, Any], people.Entry | None], found: object) -> people.Entry | None:
    """Return the entry, or None after a line that says why there is none."""
    why = ""
    try:
        return read("alice", found)
    except people.MalformedError as error:
        why = str(error)
    assert is_printable(why)
    return None


TARGETS = (
    Target(
        "stored",
        stored,
        (SEPARATOR, b"=", *(name + b"=" for name in NAMES), b"1800000000.5", b"4294967294", b"\0",
         b"\x1b[2J", b"\xe2\x80\xae", b"\r", b"\xed\xa0\x80", b"nan", b"1e9", b"[]"),
    ),
)  # fmt: skip
