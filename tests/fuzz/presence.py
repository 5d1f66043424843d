# SPDX-License-Identifier: MIT
"""What another host told of its sessions: it may have been taken over."""

from __future__ import annotations

from fingerd_sd.protocol.entry import Person
from fingerd_sd.protocol.layout.long import long_form
from fingerd_sd.protocol.text import is_printable
from fingerd_sd.store.presence.everywhere import session_of
from fingerd_sd.store.presence.told import MAX_SESSIONS, MAX_WORD, octets_of, sessions_in

from .target import Target

NOW = 1_800_000_000.0


def told(octets: bytes) -> None:
    """Whatever is told is sessions that a host of ours could have told, each one line or two."""
    found = sessions_in(octets)
    assert len(found) <= MAX_SESSIONS
    assert sessions_in(octets_of(found)) == found
    for one in found:
        for word in (one.user, one.tty, one.host):
            assert word is None or (is_printable(word) and len(word) <= MAX_WORD)
        session = session_of("login3", one, NOW)
        if session is not None:
            lines = long_form([Person("alice", sessions=(session,))], {"sessions"}, NOW)
            assert 2 <= lines.count("\n") <= 4
            assert is_printable(lines.replace("\n", ""))


TARGETS = (
    Target(
        "told",
        told,
        (b"[[", b"]]", b",", b"null", b"true", b"NaN", b"1e400", b"-1", b"4294967295", b'"pts/0"',
         b'"\\u001b[2J"', b'"\\ud800"', b'["alice",1000,1,null,null,null,null]'),
    ),
)  # fmt: skip
