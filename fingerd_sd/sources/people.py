# SPDX-License-Identifier: MIT
"""The accounts of people: which accounts are those, and what the gecos field tells of them.

NSS may be slow, so what asks it blocks: call it in a thread. It knows no files and no sessions.
"""

from __future__ import annotations

import os
import pwd
from contextlib import ExitStack
from typing import NamedTuple

from fingerd_sd.config.table import Table
from fingerd_sd.process.descriptors import are_few
from fingerd_sd.protocol.entry import Absent
from fingerd_sd.protocol.text import decode

MAX_UID = 2**32 - 2  # uid_t's last is reserved: systemd's UIDS-GIDS
LOOKING = 3  # descriptors: the home, a file in it as a place, and as a file


class Range(NamedTuple):
    """The user ids of people, both ends included."""

    min_uid: int = 1000
    max_uid: int = 60000


def read_range(table: Table) -> Range:
    """Return the range that a `[[source]]` table describes; mistakes go to the table."""
    uids = Range(
        table.integer("min_uid", 1000, 0, MAX_UID), table.integer("max_uid", 60000, 0, MAX_UID)
    )
    if uids.min_uid > uids.max_uid:
        table.wrong("min_uid", f"is greater than max_uid, {uids.max_uid}: nobody is between")
    return uids


def found(user: str) -> pwd.struct_passwd | None:
    """Return what NSS has for `user`; None: nothing, or there is a lack of descriptors."""
    try:
        return pwd.getpwnam(user)
    except (KeyError, ValueError):  # a NUL, which no name has, is a ValueError
        return None


def account_of(user: str, uids: Range) -> pwd.struct_passwd | Absent:
    """Return the account of the person `user`, or why there is none. getpwnam(3) says what an
    account is. It cannot tell an absence from a lack of descriptors: see `need_descriptors`.
    """
    account = found(user)
    if account is None:
        return Absent("no such account")
    if account.pw_name != user:
        return Absent(f'the account is called "{account.pw_name}"')
    if not uids.min_uid <= account.pw_uid <= uids.max_uid:
        return Absent(f"uid {account.pw_uid} is not from {uids.min_uid} to {uids.max_uid}")
    return account


def need_descriptors() -> None:
    """Raise OSError if there are too few descriptors left to ask NSS and to look into a home: then
    nobody knows who is absent. It does so for absent and hidden users alike, so that they look the
    same.
    """
    if are_few():
        with ExitStack() as opened:
            for _ in range(LOOKING):
                opened.callback(os.close, os.open("/", os.O_PATH | os.O_CLOEXEC))


def told_by(account: pwd.struct_passwd) -> tuple[dict[str, str], str]:
    """Return what the gecos field of `account` tells, as parse_gecos does, and its origin."""
    gecos = parse_gecos(account.pw_gecos, account.pw_name)
    return gecos, f"NSS, account {account.pw_name}"


def parse_gecos(field: str, login: str) -> dict[str, str]:
    """Return name, office, phone and home_phone of a gecos field, those that are there.

    The parts are separated by commas; in the name "&" is the capitalised login and a leading "*" is
    dropped, as BSD's finger does. `field` is as the pwd module decodes it; see passwd(5).
    """
    text = str if field.isascii() else lambda part: decode(os.fsencode(part))
    parts = [text(part).strip() for part in field.split(",")]
    parts[0] = parts[0].removeprefix("*").replace("&", login[:1].upper() + login[1:])
    atoms = zip(("name", "office", "phone", "home_phone"), parts, strict=False)
    return {atom: part for atom, part in atoms if part}
