# SPDX-License-Identifier: MIT
"""What a source can say of a user: a `Person`, a `Text`, or `Absent`.

Sans-I/O. Values only: protocol/layout/ lays them out, and policy/audience.py says who may see which
atom.
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

# What an audience may be shown of a person: RFC 1288 §3.2.3's atoms, in the order of an answer.
ATOMS = (
    "name",
    "directory",
    "shell",
    "office",
    "phone",
    "home_phone",
    "sessions",
    "forward",
    "mail",
    "key",
    "status",
    "project",
    "plan",
)


class Link(NamedTuple):
    """A link of a person, as in RFC 7033 §4.4.4: for web views; no part of a finger answer."""

    rel: str
    href: str
    type: str = ""


class Session(NamedTuple):
    """A login that lasts. `since`: with its time zone. `tty`: "pts/0", "tty2" or ":0"; `host`:
    where from; `idle`: seconds without input; `messages`: whether others may write to the terminal.
    `machine`: which of several hosts it is on. None: not known, or there is none.
    """

    since: datetime
    tty: str | None = None
    host: str | None = None
    idle: float | None = None
    messages: bool | None = None
    machine: str | None = None


class Login(NamedTuple):
    """The last login, over or not. `at`: with its time zone; the rest as in Session."""

    at: datetime
    tty: str | None = None
    host: str | None = None
    machine: str | None = None


class Mail(NamedTuple):
    """The state of a mailbox: when its last mail came, and when it was last read, both with their
    time zones. None: it is empty.
    """

    received: datetime | None = None
    read: datetime | None = None


class Status(NamedTuple):
    """What a person is doing, in a line. `until`: when that ends, with its time zone; None: when
    the person says something else.
    """

    text: str
    until: datetime | None = None

    def ended(self, now: float) -> bool:
        """Whether it is over at `now`, in seconds since the epoch."""
        return self.until is not None and self.until.timestamp() <= now


class Person(NamedTuple):
    """A user as atoms. None: not known, or there is none. Only `name` may be "": it was left empty.

    `login` is the name asked for, in the source's own spelling. `office`, `phone` and `home_phone`
    are as in the gecos field. `sessions`: () if the user is known not to be logged in; there may
    have been earlier logins. `last_login` belongs to the atom sessions. `forward`: where mail goes,
    as in ~/.forward. `origins`: where an atom came from, or why it is missing. It is for
    `ask --explain` only, and never sent to a client. `beneath`: whether what a later source knows
    of the user is shown too, where an atom is None here. `lifetime`: as in a Text. `uid`:
    by what its machine knows the user, where sessions on other machines must be the same user's; it
    is never shown. `note`: a line for who reads the answer, below it: that it is old, for example.
    """

    login: str
    name: str | None = None
    directory: str | None = None
    shell: str | None = None
    office: str | None = None
    phone: str | None = None
    home_phone: str | None = None
    sessions: tuple[Session, ...] | None = None
    last_login: Login | None = None
    forward: str | None = None
    mail: Mail | None = None
    key: str | None = None
    status: Status | None = None
    project: str | None = None
    plan: str | None = None
    links: tuple[Link, ...] = ()
    origins: Mapping[str, str] = MappingProxyType({})
    beneath: bool = False
    lifetime: float | None = None
    uid: int | None = None
    note: str | None = None


class Text(NamedTuple):
    """A whole answer, to be sent as it is (but for what may not be shown: see text.printable).

    `lifetime`: seconds for which it may be reused, if not the seconds that its source has for all.
    """

    text: str
    origin: str = ""
    lifetime: float | None = None


class Absent(NamedTuple):
    """This source has no such user, or does not show the user. `why` is for `ask --explain` only:
    a client gets the same octets for an absent and a hidden user. `lifetime`: as in a Text.
    """

    why: str = "not known here"
    lifetime: float | None = None


Entry: TypeAlias = Person | Text
