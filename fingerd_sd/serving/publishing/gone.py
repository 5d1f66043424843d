# SPDX-License-Identifier: MIT
"""Which accounts are gone, by getpwnam_r(3), and what those say that are there.

An NSS that fails is no word that somebody is gone. The pwd module raises KeyError for both, so it
will not do. It blocks: call it in a thread.
"""

from __future__ import annotations

import ctypes
import errno
import pwd
from collections.abc import Iterable

from fingerd_sd.sources.people import parse_gecos

MAX_RECORD = 1 << 22  # octets of one account; of a longer one it is known that it is there
_UID = 2 * ctypes.sizeof(ctypes.c_char_p)  # where struct passwd of <pwd.h> has it, on Linux


def gone(people: Iterable[tuple[str, int]]) -> set[tuple[str, int]]:
    """Return those of `people`, logins and uids, of whom NSS says that there is no such account, or
    that it has another uid. Where it cannot be asked, nobody is gone.
    """
    try:
        getpwnam_r = ctypes.CDLL(None).getpwnam_r
    except AttributeError:  # this C library has none
        return set()
    record, result = ctypes.create_string_buffer(256), ctypes.c_void_p()
    buffer = ctypes.create_string_buffer(1 << 14)
    found = set()
    for login, uid in people:
        while True:
            failed = getpwnam_r(
                login.encode("utf-8", "surrogateescape"),
                record,
                buffer,
                ctypes.c_size_t(len(buffer)),
                ctypes.byref(result),
            )
            if failed != errno.ERANGE or len(buffer) >= MAX_RECORD:
                break
            buffer = ctypes.create_string_buffer(4 * len(buffer))
        if failed:
            continue
        if not result or ctypes.c_uint32.from_buffer(record, _UID).value != uid:
            found.add((login, uid))
    return found


def gecos_of(login: str, uid: int) -> dict[str, str] | None:
    """Return what the account says of its user; None: NSS does not tell. It blocks."""
    try:
        account = pwd.getpwnam(login)
    except KeyError:
        return None
    return parse_gecos(account.pw_gecos, login) if account.pw_uid == uid else None
