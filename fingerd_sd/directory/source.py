# SPDX-License-Identifier: MIT
"""The seam of the house: what a source is, and what it may offer beyond that.

A source is anything with the attributes and the one coroutine of `Source`. One that can tell who is
here, or search full names, has a coroutine more for each. Nothing here knows what types of source
there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from fingerd_sd.protocol.entry import Absent, Entry

MAX_LISTED = 1000  # users in one list: more than anybody reads


class SourceError(Exception):
    """A source failed, and the text says all there is to say: it is logged without a traceback.

    `told`: the journal knows already, such as of a site that is not asked again for a while.
    """

    def __init__(self, text: str, told: bool = False) -> None:
        super().__init__(text)
        self.told = told


class Needs(NamedTuple):
    """What a source needs of the sandbox that the unit, as installed, does not give: `programs` to
    run, by their paths, and the network. `check` compares it with the unit.
    """

    programs: tuple[str, ...] = ()
    network: bool = False


class Source(Protocol):
    """Where answers come from.

    Attributes will do for the properties. ARCHITECTURE.md, "A source of your own", shows one.
    A source may also have `async def close(self) -> None`, called once when it is asked no more;
    `trouble: str`, for STATUS= while it is not well, "" else; `needs: Needs`.
    """

    @property
    def name(self) -> str:
        """What the journal and `ask --explain` call this source; it is unique."""

    @property
    def timeout(self) -> float:
        """Seconds that one `find` may take."""

    @property
    def lifetime(self) -> float:
        """Seconds that what `find` said, an absence too, may be reused: math.inf, until the
        configuration is read again; 0, never.
        """

    async def find(self, user: str) -> Entry | Absent | None:
        """Return what this source says of `user`, a printable name of at least one character.

        Absent or None: it has no such user, or does not show the user. An exception means that the
        source failed; another may still know. It is cancelled where it takes too long.
        """


@runtime_checkable
class Immediate(Protocol):
    """A source that answers at once, from what it has in memory: no file, no socket, no lock that
    another may hold. Its users are told of with no task and no thread, before the event loop is
    even there. One that waits all the same keeps everybody waiting, until the watchdog ends it.
    """

    def find_now(self, user: str, /) -> Entry | Absent | None:
        """Return what `find` returns."""


@runtime_checkable
class Lists(Protocol):
    """A source that also tells who is here: RFC 1288 §2.5.1, and §2.5.5 for things."""

    async def who(self) -> Sequence[str] | None:
        """Return the names of those that are here, in any order; `find` is asked for each, and who
        it hides is left out. None: that cannot be known now, though nothing is broken. It fails as
        `find` does, and has the same time.
        """


@runtime_checkable
class Matches(Protocol):
    """A source that also searches full names: RFC 1288 §2.5.3."""

    async def match(self, words: Sequence[str], /) -> Sequence[str] | None:
        """Return the names of those whose full name has all of `words`, in any order; as `who`."""


@runtime_checkable
class Selects(Protocol):
    """A source that need not find what nobody may see."""

    def select(self, atoms: frozenset[str]) -> None:
        """Told once, before anything is asked: the atoms that any audience may see."""


class Mounted(NamedTuple):
    """A source and the audiences it is for; none means all."""

    source: Source
    audiences: frozenset[str] = frozenset()
