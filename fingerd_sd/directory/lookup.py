# SPDX-License-Identifier: MIT
"""The directory: sources in order, each with its deadline. The first that knows a user answers.

The modules that wait are imported by `prepare`, or when a client must wait.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

from fingerd_sd.directory.cache import Cache, Current, K, Selective, V
from fingerd_sd.directory.search import Asked, Finding, Search, log_failure
from fingerd_sd.directory.source import (
    MAX_LISTED,
    Lists,
    Matches,
    Mounted,
    Source,
)

if TYPE_CHECKING:
    from fingerd_sd.directory.lists import Answering, Listing


class Directory:
    """`sources` in the order in which they are asked. `waits`: whether one of them must be waited
    for, so that the time of an answer could reveal something. `answers_first`: whether one of them
    answers at once, before there is an event loop. `news`: returns another value after a source's
    answers have changed, without a system call; None if no source tells that.
    """

    def __init__(self, sources: Sequence[Mounted]) -> None:
        self.sources = tuple(sources)
        self._asked = tuple(
            Asked(
                source,
                audiences,
                # Not isinstance, which takes Python hundreds of times as long for a protocol: a
                # client waits while the process starts.
                getattr(source, "find_now", None),
                getattr(source, "visit", None),
            )
            for source, audiences in sources
        )
        self.news = _news_of([mounted.source for mounted in sources])
        self.waits = any(asked.find_now is None for asked in self._asked)
        self.answers_first = any(asked.find_now is not None for asked in self._asked)

    def cache(self, about: Callable[[K], str | None]) -> Cache[K, V]:
        """Return a cache that forgets at news. `about`: see Selective."""
        if self.news is None:
            return Cache()
        told = [item.source for item in self.sources if hasattr(item.source, "news")]
        since = getattr(told[0], "since", None) if len(told) == 1 else None
        return Current(self.news) if since is None else Selective(self.news, since, about)

    def prepare(self) -> None:
        """Import what an answer may take, while there are descriptors for that."""
        from fingerd_sd.directory import lists, relay  # noqa: F401
        from fingerd_sd.directory.waiting import shared  # noqa: F401  # with all that waits
        from fingerd_sd.protocol.layout import short  # noqa: F401

    def tells_hosts(self) -> bool:
        """Whether one of the sources tells of several hosts."""
        from fingerd_sd.directory.lists import ListsHosts

        return any(isinstance(mounted.source, ListsHosts) for mounted in self.sources)

    def start(self, changed: Callable[[], None]) -> None:
        """Have the sources do what they do before they are asked; `changed`: called when `trouble`
        has changed without a question. Never raises for a source's fault.
        """
        for mounted in self.sources:
            start = getattr(mounted.source, "start", None)
            if start is not None:
                try:
                    start(changed)
                except Exception as error:  # as in find
                    log_failure(mounted.source, error)

    def begin(self, user: str, audience: str) -> Search:
        """Return the search for `user` by `audience`, after as much as is possible without
        waiting.
        """
        return Search(self._asked, user, audience)

    async def end(self, search: Search) -> Finding:
        """Return the result of `search`, waiting for what must be waited for."""
        from fingerd_sd.directory.waiting.sources import Failed, answer_of

        while (source := search.next) is not None:
            try:
                said = await answer_of(source, search.question(source))
            except Failed as failure:
                search.fail(str(failure))
            else:
                search.take(said)
        return search.finding

    async def find(self, user: str, audience: str) -> Finding:
        """Ask the sources for `audience` about `user`. Never raises for a source's fault.

        A source that fails or takes too long is logged, with its traceback, and the next is asked.
        """
        return await self.end(self.begin(user, audience))

    @property
    def trouble(self) -> str:
        """What is wrong with the sources now, for STATUS=; "" where nothing is."""
        told = (getattr(mounted.source, "trouble", "") for mounted in self.sources)
        return "; ".join(dict.fromkeys(filter(None, told)))  # several may share a store

    def give_back(self) -> None:
        """Have the sources drop what they can have again; never raises for a source's fault."""
        for mounted in self.sources:
            give_back = getattr(mounted.source, "give_back", None)
            if give_back is not None:
                try:
                    give_back()
                except Exception as error:  # as in find
                    log_failure(mounted.source, error)

    async def close(self) -> None:
        """Close what the sources keep open; never raises for a source's fault."""
        for mounted in self.sources:
            close = getattr(mounted.source, "close", None)
            if close is not None:
                try:
                    await close()
                except Exception as error:  # as in find
                    log_failure(mounted.source, error)

    async def who(self, audience: str, by_plans: bool = False, host: str = "") -> Listing:
        """Return who is here, by name, or on `host` alone, where sources tell of several hosts;
        `by_plans`: who published a plan, newest first. Only users
        that a query of `audience` for the name finds are in it: so a list shows nothing that such a
        query does not (RFC 1288 §2.5.2).
        """
        from fingerd_sd.directory.lists import ListsHosts, plans, several

        if by_plans:
            return await plans(self.sources, self.find, audience)

        def ask(source: Source) -> Answering | None:
            if host:
                return source.who_at(host) if isinstance(source, ListsHosts) else None
            return source.who() if isinstance(source, Lists) else None

        return await several(self.sources, ask, self.find, audience, MAX_LISTED)

    async def match(self, words: Sequence[str], audience: str) -> Listing:
        """Return the users whose full name has all of `words`, as `who` does."""
        from fingerd_sd.directory.lists import MAX_MATCHES, several

        def ask(source: Source) -> Answering | None:
            return source.match(words) if isinstance(source, Matches) else None

        return await several(self.sources, ask, self.find, audience, MAX_MATCHES)


def _news_of(sources: Sequence[Source]) -> Callable[[], Hashable] | None:
    told = [source.news for source in sources if hasattr(source, "news")]
    if len(told) < 2:
        return told[0] if told else None
    return lambda: tuple(news() for news in told)
