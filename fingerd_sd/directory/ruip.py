# SPDX-License-Identifier: MIT
"""The Remote User Information Program of RFC 1288 §2.1: a query line in, an answer out.

Both of the server's paths ask here, so their behaviour cannot differ: `ready` answers at once where
that is possible, `answer` in every case. It knows no socket and no source.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from fingerd_sd.directory.answer import (
    ABSENT,
    BAD,
    FAILED,
    FOUND,
    LIMIT,
    MISSES,
    REFUSED,
    TIMEOUT,
    Answer,
    shown_of,
)
from fingerd_sd.directory.cache import Cache
from fingerd_sd.directory.findings import Finding, Listing
from fingerd_sd.directory.lookup import Directory
from fingerd_sd.directory.relay import NAME, ForwardDenied, ForwardError, Relay
from fingerd_sd.policy.audience import Audience
from fingerd_sd.policy.rules import Client, Policy
from fingerd_sd.protocol.layout.long import long_form
from fingerd_sd.protocol.query import Query, QueryError, parse
from fingerd_sd.protocol.reply import (
    FORWARDING_DENIED,
    INTERNAL_ERROR,
    LIMITED,
    LIST_DENIED,
    MALFORMED,
    NO_SUCH_USER,
    NOBODY,
    encode,
)
from fingerd_sd.protocol.text import CUT_MARK

log = logging.getLogger(__name__)


class Ruip:
    """Answers query lines by `policy` from `directory`. `clock`: monotonic seconds. `forwarder`:
    for queries to another host, which are refused without one. `wall`: seconds since the epoch.
    """

    def __init__(
        self,
        policy: Policy,
        directory: Directory,
        clock: Callable[[], float],
        forwarder: Relay | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.policy = policy
        self._forwarder = forwarder
        self.directory = directory
        self._clock = clock
        self._wall = wall
        self._cache: Cache[tuple[str, bytes], Answer] = Cache()
        self._under_way: dict[tuple[str, Query], asyncio.Task[tuple[Answer, float]]] = {}

    def ready(self, line: bytes, client: Client, now: float) -> Answer | None:
        """Return the answer to `line` where it can be given at `now`, in monotonic seconds, without
        waiting; else None: then it has not been counted yet, and `answer` is to be asked.
        """
        answer = self._cache.get((client.audience.name, line), now)
        if answer is None or not client.rate:
            return answer
        if not self.policy.admit(client, now):
            return self.limited(line)
        return self._counted(answer, client)

    async def answer(self, line: bytes, client: Client) -> Answer:
        """Return the answer to `line`, one query line with its end or without.

        It never raises for anything that a client or a source does: the unexpected is logged with
        its traceback and answered with one fixed line.
        """
        if not self.policy.admit(client, self._clock()):
            return self.limited(line)
        try:
            return self._counted(await self._answer(line, client.audience), client)
        except Exception as error:
            log.error(
                "Internal error: %s", error, exc_info=error, extra={"event": "INTERNAL_ERROR"}
            )
            return self.failed(line)

    def malformed(self, line: bytes, client: Client) -> Answer:
        """Return the answer to octets that are no query line, such as a line that does not end. It
        counts against the rate like any other.
        """
        if not self.policy.admit(client, self._clock()):
            return self.limited(line)
        return self._counted(Answer(encode(MALFORMED), BAD, shown_of(line)), client)

    def limited(self, line: bytes) -> Answer:
        """Return the answer to a client that asks too often, or too much at once."""
        return Answer(encode(LIMITED), LIMIT, shown_of(line))

    def failed(self, line: bytes) -> Answer:
        """Return the answer to a line that should have one, but there is none."""
        return Answer(encode(INTERNAL_ERROR), FAILED, shown_of(line))

    def late(self, line: bytes) -> Answer:
        """Return what is said to a line that took too long: nothing."""
        return Answer(b"", TIMEOUT, shown_of(line))

    @property
    def trouble(self) -> str:
        """What is wrong with the sources now, for STATUS=; "" where nothing is."""
        return self.directory.trouble

    async def close(self, cancel: bool = False) -> None:
        """Close the sources once the look-ups under way are over, those of clients that have left
        too; `cancel`: do not wait for them. `answer` must not be called after this.
        """
        # A query that was taken in this turn of the loop starts its look-up before this goes on.
        await asyncio.sleep(0)
        while self._under_way:
            tasks = list(self._under_way.values())
            if cancel:
                for task in tasks:
                    task.cancel()
            await asyncio.wait(tasks)
        await self.directory.close()

    def _counted(self, answer: Answer, client: Client) -> Answer:
        """Return `answer`, for which `client` was admitted; a miss counts more."""
        if answer.result in MISSES:
            self.policy.missed(client)
        return answer

    async def _answer(self, line: bytes, audience: Audience) -> Answer:
        shown = shown_of(line)
        try:
            query = parse(line)
        except QueryError as error:
            return Answer(encode(MALFORMED), BAD, shown, steps=(f"not a query: {error}",))
        refusal = self.policy.refusal(query, audience)
        if refusal is not None:
            steps = (f'audience "{audience.name}" may not ask this',)
            answer, lifetime = Answer(encode(refusal), REFUSED, shown, steps=steps), float("inf")
        else:
            found, lifetime = await self._shared(query, audience)
            answer = Answer(found.octets, found.result, shown, found.source, found.steps)
        if lifetime > 0:
            size = len(answer.octets) + len(shown) + len(line)
            self._cache.put((audience.name, line), answer, size, self._clock() + lifetime)
        return answer

    async def _shared(self, query: Query, audience: Audience) -> tuple[Answer, float]:
        """Look `query` up; those who ask the same at the same time share one look-up, which goes on
        where one of them leaves.
        """
        if query.user and not query.hosts:
            query = query._replace(whois=False)  # one user is always told of in the long form
        key = (audience.name, query)
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._look_up(query, audience))
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        return await asyncio.shield(task)

    async def _look_up(self, query: Query, audience: Audience) -> tuple[Answer, float]:
        """Return the answer to an allowed query and the seconds it may be reused for."""
        if query.hosts:
            return await self._forward(query, audience), 0
        if query.is_list:
            return self._list(await self.directory.who(audience.name), query, audience)
        finding = await self.directory.find(query.user, audience.name)
        if finding.entries:
            text, result = long_form(finding.entries, audience.show, self._wall()), FOUND
        elif audience.match_names and audience.list:
            return await self._match(query, audience, finding)
        else:
            text, result = (INTERNAL_ERROR, FAILED) if finding.failed else (NO_SUCH_USER, ABSENT)
        answer = Answer(encode(text), result, "", finding.source, finding.steps)
        return answer, finding.lifetime

    async def _forward(self, query: Query, audience: Audience) -> Answer:
        """Return what the other host answers, printable as all answers; RFC 1288 §2.4, §3.3."""
        if self._forwarder is None:
            return Answer(encode(FORWARDING_DENIED), REFUSED, "")
        try:
            text = await self._forwarder.forward(query, audience.forward_hosts)
        except ForwardDenied as denied:
            return Answer(encode(FORWARDING_DENIED), REFUSED, "", NAME, (str(denied),))
        except ForwardError as error:
            fields = {"FINGER_SOURCE": NAME}
            log.warning(
                "Forwarding failed: %s", error, extra={"event": "SOURCE_FAILED", "fields": fields}
            )
            return Answer(encode(INTERNAL_ERROR), FAILED, "", NAME, (str(error),))
        return Answer(encode(text), FOUND, "", NAME, (f"relayed to {query.hosts[-1]}",))

    def _list(self, listing: Listing, query: Query, audience: Audience) -> tuple[Answer, float]:
        """Return who is here: RFC 1288 §2.5.1. With /W each of them is told of in the long form."""
        if not listing.asked:  # no source can tell: to say that nobody is here would be a guess
            text, result = LIST_DENIED, REFUSED
        elif not listing.rows and listing.failed:
            text, result = INTERNAL_ERROR, FAILED
        elif not listing.rows:
            text, result = NOBODY, FOUND
        elif query.whois:
            text = long_form(listing.entries, audience.show, self._wall())
            text, result = _marked(text, listing.cut), FOUND
        else:
            from fingerd_sd.protocol.layout.short import short_form

            text = short_form(listing.rows, audience.show, self._wall())
            text, result = _marked(text, listing.cut), FOUND
        answer = Answer(encode(text), result, "", listing.source, listing.steps)
        return answer, listing.lifetime

    async def _match(
        self, query: Query, audience: Audience, finding: Finding
    ) -> tuple[Answer, float]:
        """Return those with the full name asked for, since no login is called so: RFC 1288 §2.5.3.
        `finding`: how that was found.
        """
        listing = await self.directory.match(query.user.split(), audience.name)
        if listing.rows:
            text = long_form(listing.entries, audience.show, self._wall())
            text, result = _marked(text, listing.cut), FOUND
        elif listing.failed or finding.failed:
            text, result = INTERNAL_ERROR, FAILED
        else:
            text, result = NO_SUCH_USER, ABSENT
        source = listing.source or finding.source
        answer = Answer(encode(text), result, "", source, finding.steps + listing.steps)
        return answer, min(finding.lifetime, listing.lifetime)


def _marked(text: str, cut: bool) -> str:
    return f"{text}{CUT_MARK}\n" if cut else text
