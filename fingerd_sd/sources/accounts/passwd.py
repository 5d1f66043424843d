# SPDX-License-Identifier: MIT
"""All accounts, one after the other, by getpwent(3): those of NSS too, if it enumerates them.

It blocks: call it in a thread, and one call at a time, since libc keeps one place in the list for
all callers. The pwd module will not do: its getpwall() holds Python's lock until the last account
has come from the network, and the whole service would wait.
"""

from __future__ import annotations

import ctypes
import errno
import os
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

MAX_ACCOUNTS = 200_000  # looked at
MAX_SECONDS = 3.0  # for all of them; accounts that came by then are used
MAX_RECORD = 1 << 22  # octets of one account; a longer one ends the list


class _Passwd(ctypes.Structure):
    """struct passwd of <pwd.h> on Linux."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("password", ctypes.c_char_p),
        ("uid", ctypes.c_uint32),
        ("gid", ctypes.c_uint32),
        ("gecos", ctypes.c_char_p),
        ("directory", ctypes.c_char_p),
        ("shell", ctypes.c_char_p),
    )


class Account(NamedTuple):
    """An account. `name` and `gecos`: as the pwd module decodes them."""

    name: str
    uid: int
    gecos: str


def accounts(clock: Callable[[], float] = time.monotonic) -> Iterator[Account]:
    """Return the accounts that can be enumerated within MAX_ACCOUNTS and MAX_SECONDS.

    Raises OSError if there is no such function. `clock`: monotonic seconds.
    """
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        getpwent_r = libc.getpwent_r
    except AttributeError as error:  # musl has none
        raise OSError(f"accounts cannot be enumerated: {error}") from error
    until = clock() + MAX_SECONDS
    record, result = _Passwd(), ctypes.POINTER(_Passwd)()
    buffer = ctypes.create_string_buffer(1 << 14)
    libc.setpwent()
    try:
        for _ in range(MAX_ACCOUNTS):
            if clock() >= until:
                return
            while True:
                failed = getpwent_r(
                    ctypes.byref(record), buffer, ctypes.c_size_t(len(buffer)), ctypes.byref(result)
                )
                if failed != errno.ERANGE or len(buffer) >= MAX_RECORD:
                    break
                buffer = ctypes.create_string_buffer(4 * len(buffer))
            if failed or not result:
                return
            yield Account(
                os.fsdecode(record.name or b""), record.uid, os.fsdecode(record.gecos or b"")
            )
    finally:
        libc.endpwent()
