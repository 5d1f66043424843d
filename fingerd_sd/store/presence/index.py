# SPDX-License-Identifier: MIT
"""The sessions of all hosts, by user and by host. A change of one costs what that host has."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Set
from heapq import nlargest
from itertools import islice
from typing import Any, TypeAlias

from fingerd_sd.store.presence.told import Told

MAX_HOSTS = 4096
MAX_ALL = 65_536  # sessions of all hosts: some 40 MB

# A plain tuple, since of those that have nothing but text and numbers the garbage collector keeps
# no account: it goes through all others now and then, and everybody waits.
_Row: TypeAlias = tuple[Any, ...]
_UID, _SINCE = Told._fields.index("uid"), Told._fields.index("since")


class Index:
    """Who is logged in where. `cut`: whether there was more than may be kept."""

    def __init__(self) -> None:
        self.cut = False
        self._count = 0  # sessions
        self._hosts: dict[str, dict[str, tuple[_Row, ...]]] = {}  # by host and user
        self._users: dict[str, tuple[str, ...]] = {}  # the hosts of each
        self._hashes: dict[str, int] = {}  # of what each host told, keyed at random

    @property
    def hosts(self) -> Collection[str]:
        """The hosts that tell who is on, be it nobody."""
        return self._hosts.keys()

    @property
    def users(self) -> Collection[str]:
        """Who is logged in anywhere."""
        return self._users.keys()

    def at(self, host: str) -> Collection[str] | None:
        """Return who is logged in on `host`; None: it tells nothing."""
        users = self._hosts.get(host)
        return None if users is None else users.keys()

    def of(self, user: str, uid: int, most: int) -> tuple[int, list[tuple[str, Told]]]:
        """Return how many sessions `user` has where the host knows the user by `uid`; and `most` of
        them with their hosts, those that began last.
        """
        found = [
            (host, row)
            for host in self._users.get(user, ())
            for row in self._hosts[host][user]
            if row[_UID] == uid
        ]
        last = found if len(found) <= most else nlargest(most, found, lambda one: one[1][_SINCE])
        return len(found), [(host, Told._make(row)) for host, row in last]

    def has(self, host: str, octets: bytes) -> bool:
        """Whether `octets` is what `host` told before."""
        return self._hashes.get(host) == hash(octets)

    def put(self, host: str, octets: bytes, sessions: Iterable[Told]) -> None:
        """Take `sessions`, which were read from `octets`, for all that there is on `host`."""
        before = self._take_out(host)
        if len(self._hosts) >= MAX_HOSTS:
            self.cut = True
            self._forget(host, before)
            return
        users: dict[str, tuple[_Row, ...]] = {}
        kept = 0
        for one in islice(sessions, MAX_ALL - self._count + 1):
            if self._count + kept == MAX_ALL:
                self.cut = True
                break
            users[one.user] = (*users.get(one.user, ()), tuple(one))
            kept += 1
        else:
            self._hashes[host] = hash(octets)  # what was cut is to be read again
        self._hosts[host] = users
        self._count += kept
        for user in users.keys() - before:
            self._users[user] = (*self._users.get(user, ()), host)
        self._forget(host, before - users.keys())

    def drop(self, host: str) -> None:
        """Forget `host`, which may not be there."""
        self._forget(host, self._take_out(host))

    def _take_out(self, host: str) -> Set[str]:
        """Take out what `host` told; return the users of whom it is still said."""
        self._hashes.pop(host, None)
        users = self._hosts.pop(host, {})
        self._count -= sum(map(len, users.values()))
        return users.keys()

    def _forget(self, host: str, users: Iterable[str]) -> None:
        """Say no more that `users` are on `host`."""
        for user in users:
            left = tuple(other for other in self._users[user] if other != host)
            if left:
                self._users[user] = left
            else:
                del self._users[user]
