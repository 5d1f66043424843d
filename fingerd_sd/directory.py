# SPDX-License-Identifier: MIT
"""The directory: sources in order, each with its deadline; the first that knows the user answers.

This is the seam of the house. A source is anything with the attributes and the one coroutine of
`Source`; nothing above this module knows what kinds of source there are.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fingerd_sd.entry import Absent, Entry

log = logging.getLogger(__name__)


class SourceError(Exception):
    """A source failed, and the text says all there is to say: it is logged without a traceback.

    `told`: the journal knows already, such as of a site that is not asked again for a while.
    """

    def __init__(self, text: str, told: bool = False) -> None:
        super().__init__(text)
        self.told = told


@dataclass(frozen=True, slots=True)
class Needs:
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


@dataclass(frozen=True, slots=True)
class Mounted:
    """A source and the audiences it is for; none means all."""

    source: Source
    audiences: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Finding:
    """What the directory says. `entries` is empty where nobody has the user; `failed`, where in
    that case a source that might have was not able to say. `lifetime`: seconds that this may be
    reused. `steps`: what each source said, for `ask --explain`.
    """

    entries: tuple[Entry, ...] = ()
    source: str = ""
    failed: bool = False
    lifetime: float = 0
    steps: tuple[str, ...] = ()


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
                async with asyncio.timeout(source.timeout):
                    said = await source.find(user)
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise  # it is we who are no longer wanted
                failure: BaseException | None = error
            except Exception as error:  # whatever a source raises is its own failure, not ours
                failure = error
            else:
                failure = None
            if failure is not None:
                _log_failure(source, failure)
                steps.append(f"{source.name}: failed: {_summary(failure)}")
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
