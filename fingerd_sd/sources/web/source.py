# SPDX-License-Identifier: MIT
"""Answers that are pages of a web site, one for each user.

This module keeps answers for `ttl` and, while the site fails, for `stale`. Queries for the same
user share one request, and a failing site is left alone. web/client.py fetches a page, and
web/text.py turns it into text; both are imported at their first use.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from fingerd_sd.config.table import Table
from fingerd_sd.directory.cache import Cache
from fingerd_sd.directory.source import Needs, SourceError
from fingerd_sd.process.threads import Pool
from fingerd_sd.protocol.ages import age_of, stand_in
from fingerd_sd.protocol.entry import Absent, Text
from fingerd_sd.sources.web.failures import BackOff, PageError, Site
from fingerd_sd.sources.web.options import Credential, Options, read_options
from fingerd_sd.sources.web.text import to_text

if TYPE_CHECKING:
    import ssl

    from fingerd_sd.sources.web.client import Client, Page

log = logging.getLogger(__name__)

GRACE = 1.0  # seconds after the deadline: the source keeps it itself, since it may have old answers
MAX_KEPT = 8 << 20  # octets of answers kept
MAX_ABSENT = 1 << 20  # octets of absences, kept apart: guessed names push out no answer
THREADS = 2  # for work on the processor: HTML, and the import of aiohttp


def read(table: Table, name: str) -> WebSource:
    """Return the source that a `[[source]]` table describes; mistakes go to the table."""
    return WebSource(name, read_options(table))


class _Kept(NamedTuple):
    """A page's text, and when the site last confirmed it, in monotonic seconds."""

    text: str
    etag: str
    modified: str
    at: float


class WebSource:
    """Asks a web site. A `Source`. `context`: for https; None: the machine's certificate
    authorities. `clock`: monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        options: Options,
        context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.timeout = options.timeout + GRACE
        self.lifetime = options.ttl
        self.needs = Needs(network=True)
        self._options = options
        self._context = context
        self._clock = clock
        self._pool = Pool(THREADS, name)
        self._places = asyncio.Semaphore(options.max_running)
        self._client: asyncio.Task[Client] | None = None
        self._site = Site()
        self._kept: Cache[str, _Kept] = Cache(MAX_KEPT)
        self._absent: Cache[str, tuple[str, float]] = Cache(MAX_ABSENT)  # why, and until when
        self._broken: Cache[str, BackOff] = Cache(MAX_ABSENT)
        self._under_way: dict[str, asyncio.Task[Text | Absent]] = {}

    @property
    def trouble(self) -> str:
        """What is wrong with the site now, for STATUS=."""
        site, now = self._site, self._clock()
        if site.since is None:
            return ""
        wait = max(0, site.back_off.until - now)
        return (
            f"{self.name}: {self._options.site} fails for {age_of(now - site.since)}: {site.why};"
            f" asked again in {age_of(wait)}"
        )

    async def find(self, user: str) -> Text | Absent:
        """Return the page of `user`. Raises SourceError if there is none to be had and no old
        answer may stand in. All queries for a user at the same time share one request.
        """
        url = self._options.address(user)
        if url is None:
            return Absent("the name cannot be one segment of an address")
        now = self._clock()
        kept = self._kept.get(user, now)
        if kept is not None and now < kept.at + self._options.ttl:
            return self._answer(url, kept, now)
        absent = self._absent.get(user, now)
        if absent is not None:
            return Absent(absent[0], absent[1] - now)
        task = self._under_way.get(user)
        if task is None:
            task = self._under_way[user] = asyncio.create_task(self._ask(user, url, kept))
            task.add_done_callback(lambda task: self._done(user, task))
        return await asyncio.shield(task)

    def _done(self, user: str, task: asyncio.Task[Text | Absent]) -> None:
        del self._under_way[user]
        if not task.cancelled():
            task.exception()  # looked at, in case nobody has waited for it

    async def close(self) -> None:
        """End what is under way, and close the connections."""
        tasks = [*self._under_way.values(), *([self._client] if self._client else [])]
        for task in self._under_way.values():
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._client is not None and self._client.exception() is None:
            await self._client.result().close()
        self._client = None

    async def _ask(self, user: str, url: str, kept: _Kept | None) -> Text | Absent:
        """Ask the site, unless it is left alone; give an old answer if it fails."""
        site, now = self._site, self._clock()
        broken = self._broken.get(user, now) or BackOff()
        if not site.may_ask(now):
            error: SourceError = SourceError(f"{self._options.site} fails: {site.why}", told=True)
        elif now < broken.until:
            error = SourceError(f"{url} failed, and is asked for again later", told=True)
        else:
            site.probing = True
            try:
                page = await self._fetch(url, kept)
                return await self._said(user, url, page, kept)
            except SourceError as failure:
                self._failed(user, failure, broken)
                error = SourceError(f"{url}: {failure}", self._site.since is not None)
            finally:
                site.probing = False
        if kept is None:
            raise error
        if not error.told:
            event = self._event("SOURCE_FAILED")
            log.warning("Source %s gives an old answer: %s", self.name, error, extra=event)
        return stand_in(kept.text, self._clock() - kept.at, url, str(error), self._options.ttl)

    async def _fetch(self, url: str, kept: _Kept | None) -> Page:
        conditions = {}
        if kept is not None and kept.etag:
            conditions["If-None-Match"] = kept.etag
        if kept is not None and kept.modified:
            conditions["If-Modified-Since"] = kept.modified
        if self._client is None or (self._client.done() and self._client.exception()):
            self._client = asyncio.create_task(self._make_client())
        client = await asyncio.shield(self._client)
        waiting = True
        try:
            async with asyncio.timeout(self._options.timeout), self._places:
                waiting = False
                return await client.get(url, conditions)
        except TimeoutError:
            if waiting:
                running = self._options.max_running
                raise _BusyError(f"{running} requests were running all the time") from None
            raise PageError(f"no answer in {self._options.timeout:g} s") from None

    async def _make_client(self) -> Client:
        headers = {
            name: value.read() if isinstance(value, Credential) else value
            for name, value in self._options.headers.items()
        }
        client, context = await asyncio.wrap_future(self._pool.submit(_load, self._context))
        options = self._options
        return client(headers, options.max_running, options.max_body, options.timeout, context)

    async def _said(self, user: str, url: str, page: Page, kept: _Kept | None) -> Text | Absent:
        """Keep and return what the site said."""
        options = self._options
        if page.status == 200:
            made = self._pool.submit(to_text, page.body, page.content_type)
            text = await asyncio.wrap_future(made)
            kept = _Kept(text, page.etag, page.modified, self._clock())
        now = self._clock()
        if self._site.well():
            log.info("%s answers again", options.site, extra=self._event("SITE_BACK"))
        self._broken.drop(user)
        if page.status in (404, 410) or kept is None:
            why, until = f"{url}: HTTP status {page.status}", now + options.ttl
            self._kept.drop(user)
            if options.ttl:
                self._absent.put(user, (why, until), len(user) + len(why), until)
            return Absent(why, options.ttl)
        kept = kept._replace(at=now)
        octets = 4 * len(kept.text)
        self._kept.put(user, kept, octets, now + options.ttl + options.stale)
        return self._answer(url, kept, now)

    def _answer(self, url: str, kept: _Kept, now: float) -> Text:
        age, ttl = now - kept.at, self._options.ttl
        return Text(kept.text, f"{url}, asked {age_of(age)} ago", max(0, ttl - age))

    def _failed(self, user: str, error: SourceError, broken: BackOff) -> None:
        """Count the failure `error`; tell the journal if the site begins to fail."""
        if isinstance(error, _BusyError):
            return
        now = self._clock()
        wait = broken.failed(now)
        self._broken.put(user, broken, len(user), now + 2 * wait)
        if self._site.failed(user, error, now):
            log.error(
                "%s fails, and is asked less often until it is back: %s",
                self._options.site,
                error,
                extra=self._event("SITE_FAILS"),
            )

    def _event(self, event: str) -> dict[str, object]:
        return {"event": event, "fields": {"FINGER_SOURCE": self.name}}


class _BusyError(SourceError):
    """All connections were in use: that is no fault of the page or of the site."""


def _load(context: ssl.SSLContext | None) -> tuple[type[Client], ssl.SSLContext]:
    """Import the slow modules and, without a `context`, read the certificate authorities."""
    try:
        import ssl

        from fingerd_sd.sources.web.client import Client
    except ImportError as error:
        raise SourceError(f"the Python module {error.name} cannot be imported") from error
    return Client, context or ssl.create_default_context()
