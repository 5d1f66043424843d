# SPDX-License-Identifier: MIT
"""Who is logged in here, in the form in which the store has it. It blocks: call it in a thread."""

from __future__ import annotations

import pwd
import time
from collections.abc import Callable

from fingerd_sd.protocol.text import one_line
from fingerd_sd.sources.accounts.sessions.listing import Read, Reader, complete
from fingerd_sd.sources.accounts.sessions.logind import LoggedIn
from fingerd_sd.store.presence.told import MAX_NAME, MAX_SESSIONS, MAX_WORD, Told


def sessions_here(read: Read | None = None, wall: Callable[[], float] = time.time) -> list[Told]:
    """Return the sessions of this host, the oldest first. `read`: as of a Reader. `wall`: seconds
    since the epoch. Raises OSError if they cannot be known.
    """
    seen, _ = (read or Reader())()
    now = wall()
    found = [told for one in seen if (told := _told(one, now)) is not None]
    return sorted(found, key=lambda told: (told.since, told.tty or "", told.user))[:MAX_SESSIONS]


def _told(one: LoggedIn, now: float) -> Told | None:
    """Return what to tell of a session; None: nobody has this name, or time."""
    uid = _uid_of(one)
    sessions = complete([one], now)
    if uid is None or not sessions or one_line(one.user, MAX_NAME) != one.user:
        return None
    (session,) = sessions
    active = None if session.idle is None else float(round(now - session.idle))
    return Told(
        one.user,
        uid,
        one.since,
        _word(session.tty),
        _word(session.host),
        active,
        session.messages,
    )


def _uid_of(one: LoggedIn) -> int | None:
    if one.uid is not None:
        return one.uid
    try:
        return pwd.getpwnam(one.user).pw_uid  # utmp has no uids
    except KeyError:
        return None


def _word(text: str | None) -> str | None:
    return one_line(text, MAX_WORD) or None if text else None
