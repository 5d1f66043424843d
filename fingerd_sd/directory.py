# SPDX-License-Identifier: MIT
"""The directory: sources in order, each with its deadline; the first that knows the user answers.

This is the seam of the house. A source is anything with the attributes and the one coroutine of
`Source`; one that can tell who is here, or search full names, has a coroutine more for each.
Nothing above this module knows what kinds of source there are.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol, TypeAlias, TypeVar, runtime_checkable

from fingerd_sd.entry import Absent, Entry
from fingerd_sd.text import is_printable

T = TypeVar("T")

log = logging.getLogger(__name__)

MAX_LISTED = 1000  # users in one list: more than anybody reads
MAX_MATCHES = 10  # users in the answer to one full name
LIST_TIMEOUT = 10.0  # seconds to look all of them up; who is not found by then is left out
LIST_LIFETIME = 2.0  # seconds that a list may be reused: people come and go
LOOK_UPS = 16  # of a list, at once
_TRIES = 2  # looked up for each that may be shown: some hide themselves


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


Answering: TypeAlias = Awaitable[Sequence[str] | None]


class Mounted(NamedTuple):
    """A source and the audiences it is for; none means all."""

    source: Source
    audiences: frozenset[str] = frozenset()


class Finding(NamedTuple):
    """What the directory says. `entries` is empty where nobody has the user; `failed`, where in
    that case a source that might have was not able to say. `lifetime`: seconds that this may be
    reused. `steps`: what each source said, for `ask --explain`.
    """

    entries: tuple[Entry, ...] = ()
    source: str = ""
    failed: bool = False
    lifetime: float = 0
    steps: tuple[str, ...] = ()


class Listing(NamedTuple):
    """Several users: what each is called, and what a query for that name finds. `asked`: whether
    any source is able to say. `failed`: whether somebody may be missing. `cut`: whether there are
    more. The rest as in Finding.
    """

    rows: tuple[tuple[str, Entry], ...] = ()
    source: str = ""
    asked: bool = False
    failed: bool = False
    cut: bool = False
    lifetime: float = 0
    steps: tuple[str, ...] = ()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What is known of each."""
        return tuple(entry for _, entry in self.rows)


class Directory:
    """`sources` in the order in which they are asked."""

    def __init__(self, sources: Sequence[Mounted]) -> None:
        self._sources = tuple(sources)

    async def find(self, user: str, audience: str) -> Finding:
        """Ask the sources that are for `audience` for `user`; never raises for a source's fault.

        A source that fails or takes too long is logged, with its traceback, and the next is asked.
        """
        steps: list[str] = []
        lifetime = float("inf")
        failed = ""
        for mounted in self._sources:
            source = mounted.source
            if mounted.audiences and audience not in mounted.audiences:
                steps.append(f'{source.name}: not for the audience "{audience}"')
                continue
            try:
                said = await _asked(source, source.find(user))
            except _Failed as failure:
                steps.append(f"{source.name}: failed: {failure}")
                failed = failed or source.name
                continue
            own = getattr(said, "lifetime", None)
            lifetime = min(lifetime, source.lifetime if own is None else own)
            if said is None or isinstance(said, Absent):
                steps.append(f"{source.name}: {(said or Absent()).why}")
                continue
            steps.append(f"{source.name}: knows the user")
            # A failure on the way means that a later query may hear another answer: keep none.
            return Finding((said,), source.name, False, 0 if failed else lifetime, tuple(steps))
        return Finding((), failed, bool(failed), 0 if failed else lifetime, tuple(steps))

    @property
    def trouble(self) -> str:
        """What is wrong with the sources now, for STATUS=; "" where nothing is."""
        told = (getattr(mounted.source, "trouble", "") for mounted in self._sources)
        return "; ".join(filter(None, told))

    async def close(self) -> None:
        """Close what the sources keep open; never raises for a source's fault."""
        for mounted in self._sources:
            close = getattr(mounted.source, "close", None)
            if close is not None:
                try:
                    await close()
                except Exception as error:  # as in find
                    _log_failure(mounted.source, error)

    async def who(self, audience: str) -> Listing:
        """Return who is here, by name, of those that a query of `audience` for the name finds: so a
        list never shows of a user what the query for that user does not (RFC 1288 §2.5.2).
        """

        def ask(source: Source) -> Answering | None:
            return source.who() if isinstance(source, Lists) else None

        return await self._several(ask, audience, MAX_LISTED)

    async def match(self, words: Sequence[str], audience: str) -> Listing:
        """Return those whose full name has all of `words`, as `who` does."""

        def ask(source: Source) -> Answering | None:
            return source.match(words) if isinstance(source, Matches) else None

        return await self._several(ask, audience, MAX_MATCHES)

    async def _several(
        self,
        ask: Callable[[Source], Answering | None],
        audience: str,
        limit: int,
    ) -> Listing:
        steps: list[str] = []
        names: dict[str, str] = {}  # and the source that named it first
        asked = failed = unknown = False
        for mounted in self._sources:
            source = mounted.source
            if mounted.audiences and audience not in mounted.audiences:
                continue
            question = ask(source)
            if question is None:
                continue
            asked = True
            try:
                named = await _asked(source, question)
            except _Failed as failure:
                steps.append(f"{source.name}: failed: {failure}")
                failed = True
                continue
            unknown = unknown or named is None
            steps.append(f"{source.name}: {'cannot know' if named is None else len(named)}")
            for name in named or ():
                if name and is_printable(name):  # else nobody can ask for it
                    names.setdefault(name, source.name)
        found, late = await self._find_each(sorted(names)[: _TRIES * limit], audience)
        failed = failed or late or any(finding.failed for _, finding in found)
        steps += [f"{name}: {step}" for name, finding in found for step in finding.steps]
        rows = [(name, entry) for name, finding in found for entry in finding.entries]
        lifetime = min([LIST_LIFETIME, *(finding.lifetime for _, finding in found)])
        return Listing(
            rows=tuple(rows[:limit]),
            source=", ".join(dict.fromkeys(names[name] for name, _ in rows[:limit])),
            asked=asked,
            failed=failed or unknown,
            cut=len(rows) > limit or len(names) > _TRIES * limit,
            lifetime=0 if failed else lifetime,
            steps=tuple(steps),
        )

    async def _find_each(
        self, names: Sequence[str], audience: str
    ) -> tuple[list[tuple[str, Finding]], bool]:
        """Look `names` up; return what was found in their order, and whether the time ran out."""
        found: list[Finding | None] = [None] * len(names)
        numbers = iter(range(len(names)))

        async def work() -> None:
            for number in numbers:
                found[number] = await self.find(names[number], audience)

        late = False
        try:
            async with asyncio.timeout(LIST_TIMEOUT):
                await asyncio.gather(*(work() for _ in range(min(LOOK_UPS, len(names)))))
        except TimeoutError:
            late = True
        pairs = zip(names, found, strict=True)
        return [(name, finding) for name, finding in pairs if finding is not None], late


class _Failed(Exception):  # noqa: N818  # it is caught in this module
    """A source did not say what it was asked for; the text is for the administrator only."""


async def _asked(source: Source, question: Awaitable[T]) -> T:
    """Return what `source` says, within its time. Raises _Failed, after it was logged, for whatever
    the source raises: that is its own failure, not ours.
    """
    try:
        async with asyncio.timeout(source.timeout):
            return await question
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise  # it is we who are no longer wanted
        failure: BaseException = error
    except Exception as error:
        failure = error
    _log_failure(source, failure)
    raise _Failed(_summary(failure))


def _summary(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, SourceError):
        return str(error)
    return "".join(traceback.format_exception_only(error)).strip()


def _log_failure(source: Source, error: BaseException) -> None:
    if isinstance(error, SourceError) and error.told:
        return
    log.error(
        "Source %s failed: %s",
        source.name,
        _summary(error),
        exc_info=None if isinstance(error, SourceError) else error,
        extra={"event": "SOURCE_FAILED", "fields": {"FINGER_SOURCE": source.name}},
    )
