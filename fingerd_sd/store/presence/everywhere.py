# SPDX-License-Identifier: MIT
"""Who is logged in on all hosts, read from the store at most every KEPT seconds.

Only hosts whose sessions have changed are fetched again, some at a time, so that the loop never
parses much at once. A thread reads what they said, and makes the index by user.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from fingerd_sd.process.threads import Pool
from fingerd_sd.protocol.entry import Session
from fingerd_sd.store.errors import StoreError
from fingerd_sd.store.presence.telling import told_key
from fingerd_sd.store.presence.told import HOST, MAX_OCTETS, Told, sessions_in
from fingerd_sd.store.server import Server

KEPT = 2.0  # seconds that what was read is good, however often somebody asks
STANDS_IN = 15.0  # seconds that it stands in while the store cannot be asked
RENEWED = 60.0  # seconds after which all hosts are read anew: a failover may have lost a change
PAGE = 64  # hosts fetched at once
MAX_HOSTS = 4096
MAX_ALL = 65_536  # sessions of all hosts: some 50 MB

# KEYS: hosts by when they expire; hosts by the number of their last change. ARGV: the last number
# that is known, the most hosts, the most octets of each, what the keys of sessions start with.
# Returns who is gone, and of each host that has changed its name, its number and what it told.
_READ = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 4096)
local hosts = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0,
  ARGV[2])
local found = {}
for at = 1, #hosts, 2 do
  local told = redis.pcall('GETRANGE', ARGV[4] .. hosts[at], 0, ARGV[3])
  if type(told) ~= 'string' then told = '' end
  found[#found + 1] = {string.sub(hosts[at], 1, 64), hosts[at + 1], told}
end
local last = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')
return {table.concat(gone, ' '), found, last[2] or '0'}
"""


class _Page(NamedTuple):
    """A part of what has changed. `gone`: hosts that have expired. `found`: hosts, and what each
    told. `last`: the number of the last change of these; `newest`: of any.
    """

    gone: frozenset[str]
    found: tuple[tuple[str, bytes], ...]
    last: float
    newest: float


class Known(NamedTuple):
    """The sessions of all hosts, by user, each with its host; and by host, its users."""

    users: Mapping[str, tuple[tuple[str, Told], ...]] = MappingProxyType({})
    hosts: Mapping[str, frozenset[str]] = MappingProxyType({})


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
        self._pool = Pool(1, "everywhere")
        self._told: dict[str, tuple[Told, ...]] = {}  # by host
        self._last = 0.0  # the number of the last change that was read
        self._known = Known()
        self._at = self._renewed = -math.inf  # monotonic seconds
        self._reading: asyncio.Task[Known] | None = None

    async def known(self) -> Known:
        """Return who is logged in where. Raises StoreError if that cannot be known."""
        if self._clock() < self._at + KEPT:
            return self._known
        if self._reading is None:  # whoever asks meanwhile shares this
            self._reading = asyncio.get_running_loop().create_task(self._read())
            self._reading.add_done_callback(self._ended)
        return await asyncio.shield(self._reading)

    async def of(self, user: str, uid: int) -> tuple[tuple[Session, ...] | None, str]:
        """Return the sessions of `user`, where their host knows the user by `uid` too, or None if
        they cannot be known; and the origin of that, or the reason.
        """
        try:
            known = await self.known()
        except StoreError as error:
            return None, str(error)
        now = self._wall()
        found = [
            session
            for machine, told in known.users.get(user, ())
            if told.uid == uid and (session := session_of(machine, told, now)) is not None
        ]
        found.sort(key=lambda session: (session.since, session.machine or "", session.tty or ""))
        return tuple(found), f"the store: {len(known.hosts)} hosts"

    async def who(self, host: str | None = None) -> list[str] | None:
        """Return who is logged in anywhere, or on `host` alone; None: that host is silent. Raises
        StoreError.
        """
        known = await self.known()
        if host is None:
            return list(known.users)
        users = known.hosts.get(host)
        return None if users is None else list(users)

    async def close(self) -> None:
        """End a reading that is under way."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    def _ended(self, reading: asyncio.Task[Known]) -> None:
        self._reading = None
        if not reading.cancelled():
            reading.exception()  # whoever waited has it

    async def _read(self) -> Known:
        now = self._clock()
        try:
            await self._changes(now >= self._renewed + RENEWED)
        except StoreError:
            if now < self._at + STANDS_IN:
                return self._known
            raise
        self._at = self._clock()
        return self._known

    async def _changes(self, whole: bool) -> None:
        """Fetch what has changed. `whole`: everything."""
        told = {} if whole else dict(self._told)
        last = 0.0 if whole else self._last
        changed = whole
        for _ in range(MAX_HOSTS // PAGE):
            page = await self._page(last)
            if page.newest < last:  # another store, or one that has lost something
                told, last, changed = {}, 0.0, True
                continue
            changed = changed or bool(page.found) or not page.gone.isdisjoint(told)
            last = page.last
            for host in page.gone:
                told.pop(host, None)
            if page.found:
                read = self._pool.submit(_parsed, page.found)
                for host, sessions in (await asyncio.wrap_future(read)).items():
                    told.pop(host, None)
                    if sessions is not None and host not in page.gone:
                        told[host] = sessions
            if len(page.found) < PAGE:
                break
        if changed:
            self._known = await asyncio.wrap_future(self._pool.submit(_indexed, told))
        self._told, self._last = told, last
        if whole:
            self._renewed = self._clock()

    async def _page(self, last: float) -> _Page:
        server = self._server
        keys = (server.names.hosts, told_key(server))
        args = (repr(last), PAGE, MAX_OCTETS, server.names.sessions)
        said = await server.script(_READ, keys, args)
        try:
            gone, rows, newest = said
            found = tuple((bytes(host).decode(), bytes(octets)) for host, _, octets in rows)
            numbers = [last, *(float(number) for _, number, _ in rows)]
            return _Page(frozenset(gone.decode().split(" ")), found, max(numbers), float(newest))
        except (ValueError, TypeError, AttributeError) as error:
            raise StoreError(f"the store has no list of hosts that makes sense: {error}") from None


def _parsed(found: tuple[tuple[str, bytes], ...]) -> dict[str, tuple[Told, ...] | None]:
    """Return what each host told; None: it has told nothing. It takes its time: in a thread."""
    return {
        host: sessions_in(octets) if octets else None
        for host, octets in found
        if HOST.fullmatch(host)
    }


def _indexed(told: Mapping[str, tuple[Told, ...]]) -> Known:
    """Return what all hosts told, by user. It takes its time: in a thread."""
    users: dict[str, list[tuple[str, Told]]] = {}
    count = 0
    for host, sessions in told.items():
        for one in sessions[: MAX_ALL - count]:
            users.setdefault(one.user, []).append((host, one))
        count += len(sessions)
        if count >= MAX_ALL:
            break
    hosts = {host: frozenset(one.user for one in sessions) for host, sessions in told.items()}
    return Known({user: tuple(found) for user, found in users.items()}, hosts)


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
