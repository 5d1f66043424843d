# SPDX-License-Identifier: MIT
"""The directory: sources in order, each with its deadline. The first that knows a user answers."""

from __future__ import annotations

from collections.abc import Sequence

from fingerd_sd.directory.asking import Failed, answer_of, log_failure
from fingerd_sd.directory.findings import Finding, Listing
from fingerd_sd.directory.lists import MAX_MATCHES, Answering, several
from fingerd_sd.directory.source import MAX_LISTED, Lists, Matches, Mounted, Source
from fingerd_sd.protocol.entry import Absent


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
                said = await answer_of(source, source.find(user))
            except Failed as failure:
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
                    log_failure(mounted.source, error)

    async def who(self, audience: str) -> Listing:
        """Return who is here, by name, of those that a query of `audience` for the name finds: so a
        list never shows of a user what the query for that user does not (RFC 1288 §2.5.2).
        """

        def ask(source: Source) -> Answering | None:
            return source.who() if isinstance(source, Lists) else None

        return await several(self._sources, ask, self.find, audience, MAX_LISTED)

    async def match(self, words: Sequence[str], audience: str) -> Listing:
        """Return those whose full name has all of `words`, as `who` does."""

        def ask(source: Source) -> Answering | None:
            return source.match(words) if isinstance(source, Matches) else None

        return await several(self._sources, ask, self.find, audience, MAX_MATCHES)
