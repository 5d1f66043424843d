# SPDX-License-Identifier: MIT
"""Several users at once: names from the sources that can list, and what is found for each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

from fingerd_sd.directory.search import Finding
from fingerd_sd.directory.source import Mounted, Publishes, Source
from fingerd_sd.directory.waiting.sources import Failed, answer_of
from fingerd_sd.protocol.entry import Entry, Person
from fingerd_sd.protocol.layout.plans import has_plan
from fingerd_sd.protocol.text import is_printable

MAX_MATCHES = 10  # users in the answer to one full name
MAX_PLANS = 100  # users in a list of plans: each costs two look-ups, and nobody reads more
MAX_LINES = 3000  # of sessions in one list: 10 µs each, in one turn of the loop
LIST_TIMEOUT = 10.0  # seconds to look all of them up; users not found by then are left out
LIST_LIFETIME = 2.0  # seconds that a list may be reused: people come and go
LOOK_UPS = 16  # of a list, at once
_TRIES = 2  # looked up for each that may be shown: some hide themselves

Answering: TypeAlias = Awaitable[Sequence[str] | None]
Find: TypeAlias = Callable[[str, str], Awaitable[Finding]]  # of a user, for an audience


@runtime_checkable
class ListsHosts(Protocol):
    """A source that also lists who is on one of several hosts: a session has its `machine`."""

    async def who_at(self, host: str, /) -> Sequence[str] | None:
        """Return the names of the users on `host`, in lower case, as `who` does; None: nothing is
        known of that host now.
        """


class Listing(NamedTuple):
    """Several users: the name of each, and what a query for that name finds. `asked`: whether any
    source is able to list. `failed`: whether somebody may be missing. `cut`: whether there are
    more. `times`: when each published, in seconds since the epoch. The rest is as in Finding.
    """

    rows: tuple[tuple[str, Entry], ...] = ()
    source: str = ""
    asked: bool = False
    failed: bool = False
    cut: bool = False
    lifetime: float = 0
    steps: tuple[str, ...] = ()
    times: Mapping[str, float] = MappingProxyType({})

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What is known of each."""
        return tuple(entry for _, entry in self.rows)


async def several(
    sources: Iterable[Mounted],
    ask: Callable[[Source], Answering | None],
    find: Find,
    audience: str,
    limit: int,
    by: Callable[[str], float] | None = None,
    shows: Callable[[Entry], bool] = bool,
) -> Listing:
    """Return at most `limit` users that the `sources` for `audience` name, with what `find` says of
    each, and none after MAX_LINES sessions. `ask`: puts the question to a source; None if the
    source cannot list. `by`: what to sort names by, if not alphabetically. `shows`: whether an
    entry belongs into the list.
    """
    steps: list[str] = []
    names: dict[str, str] = {}  # and the source that named it first
    able = failed = unknown = False
    for mounted in sources:
        source = mounted.source
        if mounted.audiences and audience not in mounted.audiences:
            continue
        question = ask(source)
        if question is None:
            continue
        able = True
        try:
            named = await answer_of(source, question)
        except Failed as failure:
            steps.append(f"{source.name}: failed: {failure}")
            failed = True
            continue
        unknown = unknown or named is None
        steps.append(f"{source.name}: {'cannot know' if named is None else len(named)}")
        for name in named or ():
            if name and is_printable(name):  # no query can ask for any other name
                names.setdefault(name, source.name)

    def shown(finding: Finding) -> int:
        return sum(map(shows, finding.entries))

    some = sorted(names, key=by)[: _TRIES * limit]
    found, late = await _find_each(find, some, audience, limit, shown)
    failed = failed or late or any(finding.failed for _, finding in found)
    steps += [f"{name}: {step}" for name, finding in found for step in finding.steps]
    rows = [(name, entry) for name, finding in found for entry in finding.entries if shows(entry)]
    kept = _within(rows[:limit])
    lifetime = min([LIST_LIFETIME, *(finding.lifetime for _, finding in found)])
    return Listing(
        rows=tuple(kept),
        source=", ".join(dict.fromkeys(names[name] for name, _ in kept)),
        asked=able,
        failed=failed or unknown,
        cut=len(rows) > len(kept) or len(names) > _TRIES * limit,
        lifetime=0 if failed else lifetime,
        steps=tuple(steps),
    )


def _within(rows: list[tuple[str, Entry]]) -> list[tuple[str, Entry]]:
    """Return the first of `rows`, until they have MAX_LINES sessions."""
    lines = 0
    for number, (_, entry) in enumerate(rows, 1):
        lines += len(entry.sessions or ()) if isinstance(entry, Person) else 0
        if lines >= MAX_LINES:
            return rows[:number]
    return rows


async def plans(sources: Iterable[Mounted], find: Find, audience: str) -> Listing:
    """Return those who published a plan last, newest first, of those of whom `find` has a plan."""
    times: dict[str, float] = {}

    def ask(source: Source) -> Answering | None:
        return named(source) if isinstance(source, Publishes) else None

    async def named(source: Publishes) -> Sequence[str]:
        recent = await source.recent(_TRIES * MAX_PLANS + 1)
        for name, at in recent:
            times[name] = max(at, times.get(name, at))
        return [name for name, _ in recent]

    listing = await several(
        sources, ask, find, audience, MAX_PLANS, lambda name: -times[name], has_plan
    )
    return listing._replace(times=times)


async def _find_each(
    find: Find, names: Sequence[str], audience: str, limit: int, shown: Callable[[Finding], int]
) -> tuple[list[tuple[str, Finding]], bool]:
    """Look `names` up, one after the other, until more than `limit` rows can be `shown`; return
    what was found in their order, and whether the time ran out.
    """
    found: list[Finding | None] = [None] * len(names)
    numbers = iter(range(len(names)))
    rows = 0

    async def work() -> None:
        nonlocal rows
        for number in numbers:
            found[number] = finding = await find(names[number], audience)
            rows += shown(finding)
            if rows > limit:
                break

    late = False
    try:
        async with asyncio.timeout(LIST_TIMEOUT):
            await asyncio.gather(*(work() for _ in range(min(LOOK_UPS, len(names)))))
    except TimeoutError:
        late = True
    pairs = zip(names, found, strict=True)
    return [(name, finding) for name, finding in pairs if finding is not None], late
