# SPDX-License-Identifier: MIT
"""Who is logged in on all hosts, read from the store at most every KEPT seconds.

Only hosts whose sessions have changed are fetched again, and only what differs from what is known
is read. That happens in the loop, in pieces of less than a millisecond: beside a thread that reads
without a pause, the loop would have to wait for the interpreter at each step.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from fingerd_sd.protocol.entry import Session
from fingerd_sd.store.errors import StoreError
from fingerd_sd.store.presence.index import MAX_ALL, MAX_HOSTS, Index
from fingerd_sd.store.presence.told import HOST, MAX_OCTETS, Told, rows_in, sound
from fingerd_sd.store.server import Server

KEPT = 2.0  # seconds that what was read is good, however often somebody asks
STANDS_IN = 15.0  # seconds that it stands in while the store cannot be asked
RENEWED = 60.0  # seconds after which all hosts are read anew: the clocks of two stores may differ
PAGE = 64  # hosts fetched at once
PAGE_OCTETS = 2 * MAX_OCTETS  # after which no more of them are
MAX_OF = 2000  # sessions of one user that are told apart: 10 µs each, in one turn of the loop
PIECE = 64  # sessions read at once
MAX_PAGES = 4 * MAX_HOSTS // PAGE  # in one reading; the next one goes on

log = logging.getLogger(__name__)

# KEYS: hosts by when they expire; hosts by the number of their last change; when that list was
# begun. ARGV: the last number that is known, the most hosts, the most octets of each, what the keys
# of sessions start with, how many octets are enough. Returns who is gone; of each host that has
# changed its name, its number and what it told; the last number of any; when the list was begun.
_READ = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 4096)
local hosts = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0,
  ARGV[2])
local found, octets = {}, 0
for at = 1, #hosts, 2 do
  if octets > tonumber(ARGV[5]) then break end
  local told = redis.pcall('GETRANGE', ARGV[4] .. hosts[at], 0, ARGV[3])
  if type(told) ~= 'string' then told = '' end
  octets = octets + #told
  found[#found + 1] = {string.sub(hosts[at], 1, 64), hosts[at + 1], told}
end
local last = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')
local began = redis.pcall('GETRANGE', KEYS[3], 0, 31)
if type(began) ~= 'string' then began = '' end
return {table.concat(gone, ' '), found, last[2] or '0', began}
"""


class _Page(NamedTuple):
    """A part of what has changed. `gone`: hosts that have expired. `found`: hosts, and what each
    told. `last`: the number of the last change of these; `newest`: of any. `began`: tells this list
    from another.
    """

    gone: frozenset[str]
    found: tuple[tuple[str, bytes], ...]
    last: float
    newest: float
    began: bytes


class Everywhere:
    """Who is logged in on the hosts that tell `server` so. `clock`: monotonic seconds; `wall`:
    seconds since the epoch. One event loop uses it.
    """

    def __init__(
        self,
        server: Server,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._server = server
        self._clock = clock
        self._wall = wall
        self._last = 0.0  # the number of the last change that was read
        self._began = b""  # the list that it is of
        self._known = Index()
        self._at = self._renewed = -math.inf  # monotonic seconds
        self._reading: asyncio.Task[Index] | None = None

    @property
    def trouble(self) -> str:
        """What is wrong; "" where nothing is."""
        if not self._known.cut:
            return ""
        return f"some sessions are left out: beyond {MAX_HOSTS} hosts, or {MAX_ALL} sessions in all"

    def start(self) -> asyncio.Task[Index]:
        """Begin to read what has changed, and return that; whoever asks meanwhile shares it."""
        if self._reading is None:
            self._reading = asyncio.get_running_loop().create_task(self._read())
            self._reading.add_done_callback(self._ended)
        return self._reading

    async def known(self) -> Index:
        """Return who is logged in where, which changes later. Raises StoreError if that cannot be
        known.
        """
        if self._clock() < self._at + KEPT:
            return self._known
        return await asyncio.shield(self.start())

    async def of(self, user: str, uid: int) -> tuple[tuple[Session, ...] | None, str]:
        """Return the sessions of `user` where the host knows the user by `uid` too, of which the
        MAX_OF that began last; None: they cannot be known. And the origin, or the reason.
        """
        try:
            known = await self.known()
        except StoreError as error:
            return None, str(error)
        now, origin = self._wall(), f"the store: {len(known.hosts)} hosts"
        count, last = known.of(user, uid, MAX_OF)
        if count > len(last):
            origin += f", {count} sessions, of which the last {len(last)}"
        sessions = (session_of(host, told, now) for host, told in last)
        found = [session for session in sessions if session is not None]
        found.sort(key=lambda session: (session.since, session.machine or "", session.tty or ""))
        return tuple(found), origin

    async def who(self, host: str | None = None) -> list[str] | None:
        """Return who is logged in anywhere, or on `host` alone; None: that host is silent. Raises
        StoreError.
        """
        known = await self.known()
        if host is None:
            return list(known.users)
        users = known.at(host)
        return None if users is None else list(users)

    async def close(self) -> None:
        """End a reading that is under way."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    def _ended(self, reading: asyncio.Task[Index]) -> None:
        self._reading = None
        if not reading.cancelled():
            reading.exception()  # whoever waited has it

    async def _read(self) -> Index:
        now, trouble = self._clock(), self.trouble
        try:
            await self._changes(now >= self._renewed + RENEWED)
        except StoreError:
            if now < self._at + STANDS_IN:
                return self._known
            raise
        self._at = self._clock()
        if self.trouble and not trouble:
            log.warning("%s", self.trouble)
        return self._known

    async def _changes(self, whole: bool) -> None:
        """Fetch what has changed. `whole`: everything, to read of that what differs."""
        known, last = self._known, 0.0 if whole else self._last
        seen: set[str] = set()
        if whole:
            known.cut = False
        for _ in range(MAX_PAGES):
            page = await self._page(last)
            if page.began != self._began or page.newest < last:  # it is another list
                self._began, self._last, self._renewed = page.began, 0.0, -math.inf
                whole = True
                if last:
                    last = 0.0
                    seen.clear()
                    continue
            for host, octets in page.found:
                await self._take(host, b"" if host in page.gone else octets)
                seen.add(host)
            for host in page.gone:
                known.drop(host)
            self._last = last = page.last
            if last >= page.newest:
                for host in set(known.hosts) - seen if whole else ():
                    known.drop(host)
                break
        if whole:
            self._renewed = self._clock()

    async def _take(self, host: str, octets: bytes) -> None:
        """Take what `host` told; nothing: it has taken it back."""
        known = self._known
        if not octets or not HOST.fullmatch(host):
            known.drop(host)
        elif not known.has(host, octets):
            rows, sessions = rows_in(octets), list[Told]()
            await asyncio.sleep(0)
            for at in range(0, len(rows), PIECE):
                sessions += sound(rows[at : at + PIECE])
                await asyncio.sleep(0)
            known.put(host, octets, sessions)

    async def _page(self, last: float) -> _Page:
        server = self._server
        names = server.names
        keys = (names.hosts, names.told, names.began)
        args = (repr(last), PAGE, MAX_OCTETS, server.names.sessions, PAGE_OCTETS)
        said = await server.script(_READ, keys, args)
        try:
            gone, rows, newest, began = said
            found = tuple((bytes(host).decode(), bytes(octets)) for host, _, octets in rows)
            numbers = [last, *(float(number) for _, number, _ in rows)]
            gone_hosts = frozenset(gone.decode().split(" "))
            return _Page(gone_hosts, found, max(numbers), float(newest), bytes(began))
        except (ValueError, TypeError, AttributeError) as error:
            raise StoreError(f"the store has no list of hosts that makes sense: {error}") from None


def session_of(machine: str, told: Told, now: float) -> Session | None:
    """Return what `machine` told as a session at `now`, in seconds since the epoch; None: it began
    beyond all years.
    """
    try:
        since = datetime.fromtimestamp(told.since).astimezone()
    except (OverflowError, ValueError, OSError):
        return None
    idle = None if told.active is None else max(0.0, now - told.active)
    return Session(since, told.tty, told.host, idle, told.messages, machine)
