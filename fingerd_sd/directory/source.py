# SPDX-License-Identifier: MIT
"""The seam of the house: what a source is, and what it may offer beyond that.

A source is anything with the attributes and the one coroutine of `Source`. A source that knows who
is here, or can search full names, has one more coroutine for each. Nothing here knows which types
of source exist.
"""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from fingerd_sd.protocol.entry import Absent, Entry

if TYPE_CHECKING:
    from fingerd_sd.process.threads import Visit

MAX_LISTED = 1000  # users in one list: more than anybody reads


class SourceError(Exception):
    """A source failed, and the text says everything: it is logged without a traceback.

    `told`: the journal has it already, for example while a failing site is not asked again.
    """

    def __init__(self, text: str, told: bool = False) -> None:
        super().__init__(text)
        self.told = told


class Needs(NamedTuple):
    """What a source needs that the sandbox of the installed unit does not give: `programs` to run,
    by their paths, and the network. `check` compares it with the unit.
    """

    programs: tuple[str, ...] = ()
    network: bool = False


class Source(Protocol):
    """Where answers come from.

    Attributes may take the place of the properties. "A source of your own" in ARCHITECTURE.md shows
    a whole source. A source may also have `async def close(self) -> None`, which is called once,
    after the last question; `def give_back(self) -> None`, which is called in the loop while memory
    is short, to drop what the source can have again; `trouble: str`, for STATUS= ("" while it is
    well); `needs: Needs`; and `def start(self, changed) -> None`, which is called once, in the loop
    of a process that lasts, before any question: `changed` is to be called when `trouble` has
    changed without one. Where several hosts share a store, `def in_store(self, server) ->
    Source` returns the source to ask in its place, which holds that store.server.Server until it is
    closed; `without_store` is the mistake that it is where they do not; None: it is none.
    """

    @property
    def name(self) -> str:
        """What the journal and `ask --explain` call this source; it is unique."""

    @property
    def timeout(self) -> float:
        """Seconds that one `find` may take."""

    @property
    def lifetime(self) -> float:
        """Seconds for which an answer of `find`, an absence too, may be reused. math.inf: until the
        configuration is read again. 0: never.
        """

    async def find(self, user: str) -> Entry | Absent | None:
        """Return what this source says of `user`, a printable name of at least one character.

        Absent or None: it has no such user, or does not show the user. An exception means that the
        source failed; another source may still know. It is cancelled if it takes too long.
        """


@runtime_checkable
class Immediate(Protocol):
    """A source that answers at once, from what it has in memory: no file, no socket, no lock that
    another may hold. It is asked without a task, a thread or an event loop. If such a source waits
    all the same, everybody waits, until the watchdog ends the process.
    """

    def find_now(self, user: str, /) -> Entry | Absent | None:
        """Return what `find` returns."""


@runtime_checkable
class Visits(Protocol):
    """A source whose `find` is one call in a thread. It is asked without a coroutine and a task,
    which take longer than many a call.
    """

    def visit(self, user: str, consented: bool, /) -> "Visit[Any]":
        """Return the call that `find` makes; `consented`: that `find_consented` makes."""


@runtime_checkable
class Consented(Protocol):
    """A source that also finds users who have consented elsewhere: an earlier source has a `Person`
    that is shown with what this one knows `beneath`.
    """

    async def find_consented(self, user: str, /) -> Entry | Absent | None:
        """Return what `find` would if `user` had consented to be shown by this source too."""


@runtime_checkable
class News(Protocol):
    """A source whose answers may change before their lifetime ends, and which knows when. It may
    also have `def since(self, news, /) -> Iterable[str] | None`: whose answers have changed since
    it told `news`; None: anybody's. It answers as quickly.
    """

    def news(self) -> Hashable:
        """Return a value that is another one after each change. It is asked at each query, in the
        loop: it answers from memory, without a system call.
        """


@runtime_checkable
class Lists(Protocol):
    """A source that also lists who is here: RFC 1288 §2.5.1, and §2.5.5 for things."""

    async def who(self) -> Sequence[str] | None:
        """Return the names of the users that are here, in any order. `find` is then asked for each,
        and users that it hides are left out. None: this cannot be known now, though nothing is
        broken. It fails as `find` does, and has the same time.
        """


@runtime_checkable
class Publishes(Protocol):
    """A source that also knows who published a plan lately."""

    async def recent(self, limit: int, /) -> Sequence[tuple[str, float]]:
        """Return the names of those who published last, at most `limit`, and when each did, in
        seconds since the epoch. `find` is then asked for each. It fails as `find` does, and has the
        same time.
        """


@runtime_checkable
class Matches(Protocol):
    """A source that also searches full names: RFC 1288 §2.5.3."""

    async def match(self, words: Sequence[str], /) -> Sequence[str] | None:
        """Return the names of the users whose full name has all of `words`, as `who` does."""


@runtime_checkable
class Selects(Protocol):
    """A source that need not find what nobody may see."""

    def select(self, atoms: frozenset[str]) -> None:
        """Called once, before any question, with the atoms that any audience may see."""


class Mounted(NamedTuple):
    """A source, and the audiences that may ask it; none means all."""

    source: Source
    audiences: frozenset[str] = frozenset()
