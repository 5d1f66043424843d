# SPDX-License-Identifier: MIT
"""What finger would say, as values: the same policy, rates, sources and moments as on port 79.

It does what directory/ruip.py does for query lines, and returns what was found, from which several
forms are made. What is kept is the caller's affair.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Hashable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from fingerd_sd.config.server import Limits
from fingerd_sd.directory.answer import (
    ABSENT,
    BAD,
    FAILED,
    FOUND,
    LIMIT,
    MISSES,
    REFUSED,
    Answer,
    of_list,
    of_matches,
    of_user,
)
from fingerd_sd.directory.lookup import Directory
from fingerd_sd.directory.search import Finding, Search
from fingerd_sd.directory.waiting.shared import UnderWay
from fingerd_sd.policy.audience import PLANS, Audience
from fingerd_sd.policy.rules import Client, Policy
from fingerd_sd.protocol.entry import Entry, Person
from fingerd_sd.protocol.query import Query, QueryError, parse
from fingerd_sd.protocol.reply import INTERNAL_ERROR, LIMITED, MALFORMED, NO_SUCH_USER, fixed
from fingerd_sd.protocol.shown import shown
from fingerd_sd.serving.waiting.floor import Floor
from fingerd_sd.serving.web.forms.values import Kind, Row

if TYPE_CHECKING:
    from fingerd_sd.directory.lists import Listing

log = logging.getLogger(__name__)


class Said(NamedTuple):
    """What one client is told. `answer`: as finger would give it, its octets included. `login`,
    `entry`: the user that was found. `kind`: of a list, whose `rows` these are; None: it is no
    list. All went through protocol/shown.py. `cut`: whether there are more. `lifetime`: seconds for
    which this may be reused. `news`: what the sources had told when the look-up began.
    """

    answer: Answer
    login: str = ""
    entry: Entry | None = None
    kind: Kind | None = None
    rows: tuple[Row, ...] = ()
    cut: bool = False
    lifetime: float = 0
    news: Hashable = None


LIMITED_SAID = Said(Answer(fixed(LIMITED), LIMIT, ""))
MALFORMED_SAID = Said(Answer(fixed(MALFORMED), BAD, ""))
_NOBODY = Said(Answer(fixed(NO_SUCH_USER), ABSENT, ""))
_FAILED = Said(Answer(fixed(INTERNAL_ERROR), FAILED, ""))


class _Begun(NamedTuple):
    """A query that cannot be answered at once. `search`: what has been done so far."""

    query: Query
    search: Search | None
    news: Hashable


class Asking:
    """Answers by `policy` from `directory`. `limits`: of time. `floor`: releases what tells of
    nobody. `wall`: seconds since the epoch.
    """

    def __init__(
        self,
        policy: Policy,
        directory: Directory,
        limits: Limits,
        floor: Floor,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.policy = policy
        self.directory = directory
        self._limits = limits
        self._floor = floor
        self._wall = wall
        self._under_way: UnderWay[Said] = UnderWay()

    def news(self) -> Hashable:
        """Return another value than before if the answers of a source have changed."""
        return None if self.directory.news is None else self.directory.news()

    def counted(self, said: Said, client: Client) -> Said:
        """Return `said`, for which `client` was admitted, as it leaves: a miss counts more."""
        if said.answer.result in MISSES:
            self.policy.missed(client)
        return said

    async def ask(self, line: bytes, client: Client, started: float) -> Said:
        """Return what may be said of the user whom the query `line` asks for; b"": of all who are
        here, or who published lately. `started`: when the request came, in the loop's seconds. The
        client has been admitted. It never raises for anything that a client or a source does.
        """
        try:
            said = self._at_once(line, client.audience)
            if said is None:
                return await self.nobody(client, started)
            if isinstance(said, _Begun):
                said = await self._wait(said, client.audience, started)
        except Exception as error:
            said = _broken(error)
        return self.counted(said, client)

    async def nobody(self, client: Client, started: float) -> Said:
        """Return what is said of a user who is not there, at the moment when it may be said."""
        if self.directory.waits:
            await self._hold(started)
        return self.counted(_NOBODY, client)

    async def close(self, cancel: bool = False) -> None:
        """Close the sources when the look-ups under way are over; `cancel`: end those now."""
        await self._under_way.end(cancel)
        await self.directory.close()

    def _at_once(self, line: bytes, audience: Audience) -> Said | _Begun | None:
        """Return the answer if no source must be waited for. None: nobody can be called so."""
        news = self.news()
        try:
            query = parse(line)
        except QueryError:
            return MALFORMED_SAID
        if line and (query.hosts or not query.user):  # nothing is relayed here, or listed by "/W"
            return None
        if query.is_list:
            refusal = self.policy.refusal(query, audience)
            if refusal is None:
                return _Begun(query, None, news)
            return Said(Answer(fixed(refusal), REFUSED, ""))
        search = self.directory.begin(query.user, audience.name)
        # As in directory/ruip.py: where some source waits, an absence leaves as if it had waited.
        finding = search.result(self.directory.waits or audience.matches)
        if finding is None:
            return _Begun(query, search, news)
        return self._of_user(finding, query, audience)._replace(news=news)

    async def _wait(self, begun: _Begun, audience: Audience, started: float) -> Said:
        """Return the answer to `begun`; one of nobody (an empty list has no source) at its moment.
        Clients who ask the same at the same time share one look-up.
        """
        pending = self._under_way.join(
            (audience.name, begun.query._replace(whois=False), begun.news),
            begun.search,
            partial(self._sought, begun.query, audience),
            partial(self._look_up, begun.query, audience, begun.search),
            _of_end,
        )
        try:
            async with asyncio.timeout_at(started + self._limits.answer_timeout):
                said = await pending.result()
                if said.answer.result != FOUND or not said.answer.source:
                    await self._hold(started)
        except TimeoutError:
            return _FAILED
        return said._replace(news=begun.news)

    async def _hold(self, started: float) -> None:
        if self._limits.miss_time:
            due = asyncio.get_running_loop().create_future()
            self._floor.hold(partial(_set, due), started, self._limits.miss_time)
            await due

    async def _look_up(self, query: Query, audience: Audience, search: Search | None) -> Said:
        if search is None:
            listing = await self.directory.who(audience.name, audience.list == PLANS)
            return self._of_list(of_list(listing, query, audience, self._wall()), listing, audience)
        finding = await self.directory.end(search)
        if (sought := self._sought(query, audience, search)) is not None:
            return sought
        listing = await self.directory.match(query.user.split(), audience.name)
        answer = of_matches(listing, finding, audience, self._wall())
        said = self._of_list(answer, listing, audience)
        return said._replace(lifetime=min(finding.lifetime, listing.lifetime))

    def _sought(self, query: Query, audience: Audience, search: Search) -> Said | None:
        """Return what `search` has led to; None: there is more to look for."""
        finding = search.result(audience.matches)
        return finding and self._of_user(finding, query, audience)

    def _of_user(self, finding: Finding, query: Query, audience: Audience) -> Said:
        answer = of_user(finding, audience, self._wall())
        if not finding.entries:
            return Said(answer, lifetime=finding.lifetime)
        row = self._row(query.user, finding.entries[0], audience)
        return Said(answer, row.login, row.entry, lifetime=finding.lifetime)

    def _of_list(self, answer: Answer, listing: Listing, audience: Audience) -> Said:
        if answer.result != FOUND:
            return Said(answer, lifetime=listing.lifetime)
        rows = tuple(
            self._row(login, entry, audience, listing.times.get(login))
            for login, entry in listing.rows
        )
        kind: Kind = "plans" if audience.list == PLANS else "sessions"
        return Said(answer, "", None, kind, rows, listing.cut, listing.lifetime)

    def _row(self, asked: str, entry: Entry, audience: Audience, at: float | None = None) -> Row:
        if not isinstance(entry, Person):
            return Row(asked, entry, at)
        seen = shown(entry, audience.show, self._wall())
        return Row(seen.login, seen, at)


def _of_end(said: Said | BaseException) -> Said:
    """Return what a look-up has said, or what stands for the bug that ended it."""
    if isinstance(said, Exception):
        return _broken(said)
    if isinstance(said, BaseException):  # it was cancelled: the process leaves
        return _FAILED
    return said


def _broken(error: BaseException) -> Said:
    log.error("Internal error: %s", error, exc_info=error, extra={"event": "INTERNAL_ERROR"})
    return _FAILED


def _set(due: asyncio.Future[None]) -> None:
    if not due.done():  # its client has gone
        due.set_result(None)
