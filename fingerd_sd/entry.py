# SPDX-License-Identifier: MIT
"""What a source can say of a user: a `Person`, a `Text`, or `Absent`.

Sans-I/O. Values only: how they are laid out is reply.py's, who may see which atom is policy.py's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

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
    "project",
    "plan",
)


@dataclass(frozen=True, slots=True)
class Link:
    """A link of a person, as in RFC 7033 §4.4.4: for web views; no part of a finger answer."""

    rel: str
    href: str
    type: str = ""


@dataclass(frozen=True, slots=True)
class Person:
    """A user as atoms. None: not known, or there is none; "" and () are never used for that.

    `login` is the name asked for, in the source's own spelling. `office`, `phone` and `home_phone`
    are as in the gecos field. `origins` tells for an atom where it came from or why it is missing;
    it is for `ask --explain` only and never sent to a client.
    """

    login: str
    name: str | None = None
    directory: str | None = None
    shell: str | None = None
    office: str | None = None
    phone: str | None = None
    home_phone: str | None = None
    key: str | None = None
    project: str | None = None
    plan: str | None = None
    links: tuple[Link, ...] = ()
    origins: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType({}), compare=False, repr=False
    )


@dataclass(frozen=True, slots=True)
class Text:
    """A whole answer, to be sent as it is (but for what may not be shown: see text.printable).

    `lifetime`: seconds that it may be reused, where that is not what its source says of all.
    """

    text: str
    origin: str = field(default="", compare=False)
    lifetime: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Absent:
    """This source has no such user, or does not show the user. `why` is for `ask --explain` only:
    to a client absent and hidden are the same octets. `lifetime`: as of a Text.
    """

    why: str = "not known here"
    lifetime: float | None = field(default=None, compare=False)


Entry: TypeAlias = Person | Text
