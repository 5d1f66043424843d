# SPDX-License-Identifier: MIT
"""Users who have published on any host of a fleet, as the store that the hosts share has it.

Each host vouches for its own users. Where this host has an account of the same name, that must be
the same user's; where it has none, what the publishing host says of its account is shown: a host
that faces the world has no accounts. While the store cannot be asked, what it said last stands in,
with a note that says how old that is.
"""

from __future__ import annotations

import logging
import pwd
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from fingerd_sd.directory.cache import Cache
from fingerd_sd.process.threads import Pool, Shared
from fingerd_sd.protocol.ages import STANDS_IN, age_of, old_note
from fingerd_sd.protocol.entry import Absent, Person
from fingerd_sd.sources.people import Range, found, need_descriptors, told_by
from fingerd_sd.sources.published.person import Row, person_of
from fingerd_sd.store import people
from fingerd_sd.store.changes import Changes
from fingerd_sd.store.errors import StoreError
from fingerd_sd.store.server import Server

log = logging.getLogger(__name__)

MAX_THREADS = 8  # look-ups at once, since NSS may be slow
TIMEOUT = 5.0  # seconds for NSS, beside those for the store
ACCOUNT = 2.0  # seconds that an account is taken to be there: it may be removed at any time
LASTING = 60.0  # seconds, where the store tells of changes and no account is here
MAX_KEPT = 8 << 20  # octets of entries that may stand in
MAX_ABSENT = 1 << 20  # octets of absences, kept apart: guessed names push out no entry
MAX_TOLD = 1000  # entries about which the journal has been told
GECOS = ("name", "office", "phone", "home_phone")


class _Kept(NamedTuple):
    """An entry, or that there is none; when the store last said so, in monotonic seconds; and
    `began` of the changes at that time.
    """

    entry: people.Entry | None
    at: float
    began: int


class FleetSource:
    """Who has published, by `server`, which it holds. A `Source`, which also tells news, and who
    published lately. `uids`: of whom, here and where they publish. `wall`: seconds since the epoch;
    `clock`: monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        uids: Range,
        server: Server,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.timeout = TIMEOUT + server.keys.timeout
        self.lifetime = min(ACCOUNT, server.keys.ttl)
        self.uids = uids
        self._server = server
        self._wall = wall
        self._clock = clock
        self._changes = Changes(server, self._changed)
        self.news, self.since = self._changes.news, self._changes.since
        self._shared = Shared(Pool(MAX_THREADS, name))
        self._kept: Cache[str, _Kept] = Cache(MAX_KEPT)
        self._absent: Cache[str, _Kept] = Cache(MAX_ABSENT)
        self._told: set[tuple[str, str]] = set()
        self._refused = ""  # why the store did not do what it was asked, the last time

    @property
    def trouble(self) -> str:
        """What is wrong with the store now; "" where nothing is."""
        return self._server.trouble or self._refused or self._changes.trouble

    def start(self, changed: Callable[[], None]) -> None:
        """Connect, hear of changes, and call `changed` when `trouble` changes."""
        self._server.watching.append(changed)
        self._changes.start()

    async def find(self, user: str) -> Person | Absent:
        """Return what `user` has published, with the name and the office of the account, here or
        where it was published. Raises StoreError if the store cannot be asked and nothing can stand
        in, and OSError if NSS fails.
        """
        hears, ttl = self._changes.hears, self._server.keys.ttl
        lifetime, kept, why = LASTING if hears else ttl, None, ""
        try:
            entry = await self._read(user)
        except people.MalformedError as error:
            return self._odd(
                "malformed", user, f"the store's entry is malformed: {error}", lifetime
            )
        except StoreError as error:
            kept = self._kept.get(user, self._clock())
            if kept is None:
                raise
            entry, why, lifetime = kept.entry, str(error), min(STANDS_IN, ttl)
        if entry is None:
            return Absent("has published nothing", lifetime)
        if entry.gone is not None:
            return Absent(f"has published, but {entry.host} has no such account any more", lifetime)
        if not self.uids.min_uid <= entry.uid <= self.uids.max_uid:
            least, most = self.uids
            return Absent(f"published by uid {entry.uid}, not from {least} to {most}", lifetime)
        account = await self._shared.call(user, _account, user)
        person = self._person(entry, account, lifetime)
        if kept is None or isinstance(person, Absent):
            return person
        old = age_of(self._clock() - kept.at)
        origins = {
            atom: f"{origin}; {old} old, since: {why}" for atom, origin in person.origins.items()
        }
        return person._replace(origins=origins, note=old_note(old))

    async def recent(self, limit: int) -> Sequence[tuple[str, float]]:
        """Return who published last on all hosts, at most `limit`, newest first: the login, and
        when, in seconds since the epoch. Raises StoreError.
        """
        keys, args = (self._server.names.recent,), (limit, people.MAX_LOGIN)
        return people.recent_of(await self._script(people.RECENT, keys, args), self._wall())

    def give_back(self) -> None:
        """Drop what may stand in, unless it is needed now."""
        self._absent.clear()
        if not self._server.trouble:
            self._kept.clear()

    async def close(self) -> None:
        """Give the store back."""
        await self._changes.close()
        await self._server.close()

    async def _read(self, user: str) -> people.Entry | None:
        """Return what the store has, and keep it. Raises StoreError and MalformedError."""
        began, now = self._changes.began, self._clock()
        kept = self._kept.get(user, now) or self._absent.get(user, now)
        if kept is not None and began and began == kept.began and now < kept.at + LASTING:
            return kept.entry  # else there had been news of it
        keys, news = (self._server.names.person(user),), self.news()
        said = await self._script(people.SCRIPT, keys, people.ARGUMENTS)
        self._changed((user,))
        entry = people.entry_of(user, said)
        changed = self.since(news)
        if changed is None or user in changed:
            return entry
        now = self._clock()
        if entry is None:
            self._absent.put(user, _Kept(None, now, began), len(user), now + LASTING)
        elif self._server.keys.stale:
            size = 2 * sum(len(value) for value in said if value is not None)
            until = now + self._server.keys.stale
            self._kept.put(user, _Kept(entry, now, began), size, until)
        return entry

    async def _script(self, source: str, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """Return what a script returns. Raises StoreError, of which the journal is told once."""
        try:
            said = await self._server.script(source, keys, args)
        except StoreError as error:
            told = error.told or self._refused == str(error)
            if not error.told:
                self._refused = str(error)
            raise StoreError(str(error), error.code, told) from None
        self._refused = ""
        return said

    def _changed(self, logins: Iterable[str] | None) -> None:
        """Forget what is known to be another now."""
        for kept in (self._kept, self._absent):
            if logins is None:
                kept.clear()
            for login in logins or ():
                kept.drop(login)

    def _person(
        self, entry: people.Entry, account: pwd.struct_passwd | None, lifetime: float
    ) -> Person | Absent:
        """Return what `entry` tells, by the `account` of the same name here, if there is one."""
        values: Any = entry[: len(Row._fields)]
        row = Row(*values)
        tell = partial(person_of, row, now=self._wall(), where=f" at {entry.host}")
        if account is None:
            told = {name: getattr(entry, name) for name in GECOS}
            gecos = {name: value for name, value in told.items() if value}
            return tell(gecos, f"the account at {entry.host}", lifetime=lifetime)
        lifetime = min(lifetime, ACCOUNT)
        if account.pw_name != entry.login:
            return Absent(
                f'has published, but: the account is called "{account.pw_name}"', lifetime
            )
        if account.pw_uid != entry.uid:
            why = f"published by uid {entry.uid} at {entry.host}, but here the account has uid"
            return self._odd("uid", entry.login, f"{why} {account.pw_uid}", lifetime)
        return tell(*told_by(account), lifetime=lifetime)

    def _odd(self, what: str, user: str, why: str, lifetime: float) -> Absent:
        """Return that `user` is not shown; the journal is told once of each user."""
        if (what, user) not in self._told:
            if len(self._told) >= MAX_TOLD:
                self._told.clear()
            self._told.add((what, user))
            extra = {"event": "SOURCE_FAILED", "fields": {"FINGER_SOURCE": self.name}}
            log.warning("Source %s does not show %s: %s", self.name, user, why, extra=extra)
        return Absent(why, lifetime)


def _account(user: str) -> pwd.struct_passwd | None:
    """Return the account `user` of this host; None: there is none. It blocks. Raises OSError if
    that cannot be known.
    """
    account = found(user)
    if account is None:
        need_descriptors()
    return account
