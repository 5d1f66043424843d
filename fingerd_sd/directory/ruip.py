# SPDX-License-Identifier: MIT
"""The Remote User Information Program of RFC 1288 §2.1: a query line in, an answer out.

All of the server's paths ask this module, so their behaviour cannot differ. `ready` has an answer
that was given before. `begin` answers at once, by plain calls and without an event loop, if no
source must be waited for. `wait` answers the other queries. It knows no sockets and no sources.
"""

import math
import time
from collections.abc import Callable, Hashable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from fingerd_sd.directory.answer import (
    BAD,
    FAILED,
    LIMIT,
    MISSES,
    REFUSED,
    TIMEOUT,
    Answer,
    about,
    of_list,
    of_matches,
    of_user,
    shown_of,
)
from fingerd_sd.directory.cache import Cache
from fingerd_sd.directory.lookup import Directory
from fingerd_sd.directory.search import Search
from fingerd_sd.policy.audience import PLANS, Audience
from fingerd_sd.policy.rules import Client, Here, Policy
from fingerd_sd.protocol.query import Query, QueryError, parse
from fingerd_sd.protocol.reply import INTERNAL_ERROR, LIMITED, MALFORMED, fixed

if TYPE_CHECKING:
    from fingerd_sd.directory.relay import Relay
    from fingerd_sd.directory.waiting.shared import Pending, UnderWay

Timed: TypeAlias = tuple[Answer, float]  # and the seconds for which it may be reused


class Begun(NamedTuple):
    """An admitted query that cannot be answered at once. `search`: what has been done so far.
    `alike`: whether `line` is the same query for all clients of the audience. `news`: the last that
    the sources had told when it began.
    """

    line: bytes
    client: Client
    query: Query
    search: Search | None
    alike: bool
    news: Hashable = None


class Ruip:
    """Answers query lines by `policy` from `directory`. `clock`: monotonic seconds. `forwarder`:
    for queries to another host, which are refused without one. `wall`: seconds since the epoch.
    """

    def __init__(
        self,
        policy: Policy,
        directory: Directory,
        clock: Callable[[], float],
        forwarder: "Relay | None" = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.policy = policy
        self._forwarder = forwarder
        self.directory = directory
        self._clock = clock
        self._wall = wall
        self._news = directory.news
        self._cache: Cache[tuple[str, bytes], Answer]
        self._cache = directory.cache(partial(about, policy.matching))
        self.forget = self._cache.clear  # drops all answers that are kept
        self._under_way: UnderWay[Timed] | None = None  # made when something must be waited for

    def ready(self, line: bytes, client: Client, now: float) -> Answer | None:
        """Return the answer to `line` if the same line was answered before, and the answer is still
        good at `now`, in monotonic seconds. None: the query has not been counted; ask `begin`.
        """
        answer = self._cache.get((client.audience.name, line), now)
        if answer is None or not client.rate:
            return answer
        if not self.policy.admit(client, now):
            return self.limited(line)
        return self._counted(answer, client)

    def begin(self, line: bytes, client: Client, now: float, here: Here = str) -> Answer | Begun:
        """Return the answer to `line`, one query line with its end or without, if no source must be
        waited for; else a `Begun` for `wait`. `now`: monotonic seconds. `here`: see rules.Here.

        It never raises for anything that a client or a source does. It logs the unexpected with a
        traceback, and answers with one fixed line.
        """
        if client.rate and not self.policy.admit(client, now):
            return self.limited(line)
        try:
            said = self._at_once(line, client, now, here)
        except Exception as error:
            return self._broken(line, error)
        return said if isinstance(said, Begun) else self._counted(said, client)

    def wait(self, begun: Begun) -> "Pending[Timed, Timed]":
        """Return the answer to `begun` as a result to wait for. Like `begin` it never fails.
        Clients who ask the same at the same time share one look-up. It needs a running event loop.
        """
        if self._under_way is None:
            from fingerd_sd.directory.waiting.shared import UnderWay

            self._under_way = UnderWay()
        query, audience = begun.query, begun.client.audience
        if query.whois and query.user and not query.hosts:
            query = query._replace(whois=False)  # one user always gets the long form
        return self._under_way.join(
            (audience.name, query, begun.news),
            begun.search,
            partial(self._sought, audience),
            partial(self._look_up, query, audience, begun.search),
            partial(self._finish, begun),
        )

    def settle(self, begun: Begun, timed: Timed) -> Answer:
        """Return what `wait` has said, at the moment when it leaves: it is kept and counted now.
        Done before, either would tell another query how long the look-up took.
        """
        self._keep(begun.line, begun.client.audience, timed, begun.news, self._clock())
        return self._counted(timed[0], begun.client)

    async def answer(self, line: bytes, client: Client) -> Answer:
        """Return the answer to `line`, whatever it takes: `begin`, then `wait`."""
        said = self.begin(line, client, self._clock())
        if isinstance(said, Begun):
            return self.settle(said, await self.wait(said).result())
        return said

    def malformed(self, line: bytes, client: Client) -> Answer:
        """Return the answer to octets that are no query line. They count against the rate too."""
        if not self.policy.admit(client, self._clock()):
            return self.limited(line)
        return self._counted(Answer(fixed(MALFORMED), BAD, shown_of(line)), client)

    def limited(self, line: bytes) -> Answer:
        """Return the answer to a client that asks too often, or too much at once."""
        return Answer(fixed(LIMITED), LIMIT, shown_of(line))

    def failed(self, line: bytes) -> Answer:
        """Return the answer to a line whose real answer could not be made."""
        return Answer(fixed(INTERNAL_ERROR), FAILED, shown_of(line))

    def late(self, line: bytes) -> Answer:
        """Return the answer to a line that took too long: no octets."""
        return Answer(b"", TIMEOUT, shown_of(line))

    @property
    def trouble(self) -> str:
        """What is wrong with the sources now, for STATUS=; "" where nothing is."""
        return self.directory.trouble

    async def close(self, cancel: bool = False) -> None:
        """Close the sources when the look-ups under way are over, also those of clients that have
        left; `cancel`: end the look-ups now. Do not call `begin` after this.
        """
        if self._under_way is not None:
            await self._under_way.end(cancel)
        await self.directory.close()

    def _counted(self, answer: Answer, client: Client) -> Answer:
        """Return `answer`, for which `client` was admitted; a miss counts more."""
        if answer.result in MISSES:
            self.policy.missed(client)
        return answer

    def _keep(
        self, line: bytes, audience: Audience, timed: Timed, news: Hashable, now: float
    ) -> Answer:
        """Return the answer to `line`, and keep it ready for its time from `now`, unless there has
        been other news since the look-up began.
        """
        answer, lifetime = timed
        if lifetime > 0 and (self._news is None or news == self._news()):
            size = len(answer.octets) + len(answer.query) + len(line)
            self._cache.put((audience.name, line), answer, size, now + lifetime)
        return answer

    def _broken(self, line: bytes, error: BaseException) -> Answer:
        import logging

        logging.getLogger(__name__).error(
            "Internal error: %s", error, exc_info=error, extra={"event": "INTERNAL_ERROR"}
        )
        return self.failed(line)

    def _at_once(self, line: bytes, client: Client, now: float, here: Here) -> Answer | Begun:
        audience, news = client.audience, None if self._news is None else self._news()
        try:
            query, alike = parse(line), True
        except QueryError as error:
            return Answer(fixed(MALFORMED), BAD, shown_of(line), "", (f"not a query: {error}",))
        if query.hosts:
            query, alike = self.policy.without_us(query, here)
        if query.hosts or not query.user:
            refusal = self.policy.refusal(query, audience)
            if refusal is None:
                return Begun(line, client, query, None, alike, news)
            steps = (f'audience "{audience.name}" may not ask this',)
            answer = Answer(fixed(refusal), REFUSED, shown_of(line), steps=steps)
            return self._keep(line, audience, (answer, math.inf if alike else 0), news, now)
        search = self.directory.begin(query.user, audience.name)
        # If some source waits, an absence leaves as if it had been waited for, although no source
        # was asked for this audience: so the time does not show which it is.
        finding = search.result(self.directory.waits or audience.matches)
        if finding is None:
            return Begun(line, client, query, search, alike, news)
        answer = of_user(finding, audience, self._wall(), shown_of(line))
        return self._keep(line, audience, (answer, finding.lifetime if alike else 0), news, now)

    def _finish(self, begun: Begun, said: Timed | BaseException) -> Timed:
        if isinstance(said, BaseException):  # if it was cancelled, the process leaves
            bug = isinstance(said, Exception)
            return self._broken(begun.line, said) if bug else self.failed(begun.line), 0
        (octets, result, _, source, steps), left = said  # _replace takes twice as long
        answer = Answer(octets, result, shown_of(begun.line), source, steps)
        return answer, left if begun.alike else 0

    async def _look_up(self, query: Query, audience: Audience, search: Search | None) -> Timed:
        """Return the answer to an allowed query."""
        if query.hosts:
            from fingerd_sd.directory.relay import elsewhere

            places = self.policy, self.directory, self._forwarder
            return await elsewhere(places, query, audience, self._wall())
        if search is None:
            listing = await self.directory.who(audience.name, audience.list == PLANS)
            return of_list(listing, query, audience, self._wall()), listing.lifetime
        finding = await self.directory.end(search)
        if sought := self._sought(audience, search):
            return sought
        listing = await self.directory.match(query.user.split(), audience.name)
        lifetime = min(finding.lifetime, listing.lifetime)
        return of_matches(listing, finding, audience, self._wall()), lifetime

    def _sought(self, audience: Audience, search: Search) -> Timed | None:
        """Return the answer that `search` has led to; None: there is more to look for."""
        finding = search.result(audience.matches)
        return finding and (of_user(finding, audience, self._wall()), finding.lifetime)
