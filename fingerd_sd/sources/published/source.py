# SPDX-License-Identifier: MIT
"""Users who have published: what they said, over what other sources know of them.

A user publishes with `fingerd-sd publish`; the keeper, a process of its own, stores that. This
source reads it, and can write nothing. To publish is to consent, so what later sources know of the
user is shown beneath, even if the home is private. It knows neither clients nor layouts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from fingerd_sd.config.mistakes import Mistake
from fingerd_sd.config.table import Table
from fingerd_sd.directory.source import Source, SourceError
from fingerd_sd.process.threads import Pool, Shared, Visit
from fingerd_sd.protocol.entry import Absent, Person
from fingerd_sd.sources.people import Range, account_of, need_descriptors, read_range, told_by
from fingerd_sd.sources.published import news

if TYPE_CHECKING:
    from fingerd_sd.sources.published.store import Reader
    from fingerd_sd.store.server import Server

T = TypeVar("T")

FOLDER = "/var/lib/fingerd-sd"  # where the keeper stores: its StateDirectory=
MAX_THREADS = 8  # look-ups at once, since NSS may be slow
TIMEOUT = 5.0  # seconds for one look-up
LIFETIME = 2.0  # seconds: as of accounts, since one may be removed at any time


def read(table: Table, name: str) -> PublishedSource:
    """Return the source that a `[[source]]` table describes; mistakes go to the table."""
    uids = read_range(table)
    fleet = table.choice("sessions", "here", ("here", "fleet")) == "fleet"
    table.close()
    source = PublishedSource(name, uids, FOLDER)
    if fleet:
        source.fleet = True
        source.without_store = table.mistake("sessions", '"fleet" needs url in [store]')
    return source


class PublishedSource:
    """The users who have published, in the files of the keeper in `folder`. A `Source`, which also
    tells news, and who published lately. `wall`: seconds since the epoch. `fleet`: whether users
    are shown with their sessions on all hosts, of which a store tells.
    """

    timeout = TIMEOUT
    lifetime = LIFETIME
    fleet = False
    without_store: Mistake | None = None

    def __init__(
        self, name: str, uids: Range, folder: str, wall: Callable[[], float] = time.time
    ) -> None:
        self.name = name
        self._generation = news.Generation(f"{folder}/{news.FILE}")
        self.news = self._generation.count
        self.uids = uids  # who may publish
        self._folder = folder
        self._wall = wall
        self._shared = Shared(Pool(MAX_THREADS, name))
        self._lock = threading.Lock()
        self._opened: Reader | None = None

    def in_store(self, server: Server) -> Source:
        """Return what to ask in place of this source where hosts share the store `server`."""
        from fingerd_sd.sources.published.fleet import FleetSource

        source: Source = FleetSource(self.name, self.uids, server.hold())
        if not self.fleet:
            return source
        from fingerd_sd.store.presence.joined import Joined

        return Joined(source, server.hold(), server.host)

    async def find(self, user: str) -> Person | Absent:
        """Return what `user` has published, with the name and the office of the account. Raises
        SourceError if that cannot be read, and OSError if NSS fails.
        """
        return await self.visit(user, False).result()

    def visit(self, user: str, consented: bool) -> Visit[Person | Absent]:  # to publish is that
        """Return the call that `find` makes."""
        # What a call under way says was so before the last news.
        return Visit(self._shared, (user, self.news()), partial(self._look_up, user))

    async def recent(self, limit: int) -> Sequence[tuple[str, float]]:
        """Return who published last, at most `limit`, newest first: the login, and when, in seconds
        since the epoch. Raises SourceError.
        """
        return await self._shared.call((limit, self.news()), self._recent, limit)

    async def close(self) -> None:
        """Close the file."""
        if self._opened is not None:
            await self._shared.call("close", self._opened.close)

    def _look_up(self, user: str) -> Person | Absent:
        """Return what `find` does, in one visit of a thread."""
        self._generation.renew()
        row = self._read(lambda reader: reader.person(user))
        if row is None:
            return Absent("has published nothing")
        account = account_of(user, self.uids)
        if isinstance(account, Absent):
            need_descriptors()
            return Absent(f"has published, but: {account.why}")
        if account.pw_uid != row.uid:
            return Absent(f"published by uid {row.uid}, but the account has uid {account.pw_uid}")
        from fingerd_sd.sources.published.person import person_of

        return person_of(row, *told_by(account), self._wall(), LIFETIME)

    def _recent(self, limit: int) -> list[tuple[str, float]]:
        self._generation.renew()
        return self._read(lambda reader: reader.recent(limit))

    def _read(self, question: Callable[[Reader], T]) -> T:
        import sqlite3  # by a thread, when somebody asks: it is dear

        with self._lock:
            if self._opened is None:
                from fingerd_sd.sources.published import store

                self._opened = store.Reader(f"{self._folder}/{store.FILE}")
        try:
            return question(self._opened)
        except (sqlite3.Error, OSError) as error:
            raise SourceError(
                f"{self._folder}: what is published cannot be read: {error}"
            ) from error
