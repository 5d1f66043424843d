# SPDX-License-Identifier: MIT
"""The names of keys in the store, and of scripts.

All have the namespace in braces, so that a cluster has them in one slot, and one command or script
may use several: Redis Cluster Specification, "Hash tags".
"""

from __future__ import annotations

import hashlib
from functools import cache


class Names:
    """The names of all keys below `namespace`.

    {ns}:p:LOGIN        hash      what a user has published, on whichever host
    {ns}:recent         zset      logins by the time of the last publish, seconds since the epoch
    {ns}:spent:UID:HOUR string    how often a user has published in an hour since the epoch
    {ns}:asked:LOGIN    hash      how often an entry was asked for
    {ns}:by:HOST        set       whose entries a host has written
    {ns}:swept:HOST     string    there while a host need not look for accounts that are gone
    {ns}:hashing        string    the key of the hashes of networks, in asked
    {ns}:s:HOST         string    the sessions of a host; it expires
    {ns}:hosts          zset      hosts by the time when what each told expires, in milliseconds
    {ns}:told           zset      hosts by the number of their last change
    {ns}:began          string    when that list was begun, in microseconds since the epoch
    """

    def __init__(self, namespace: str) -> None:
        self.tag = f"{{{namespace}}}"
        self.recent = f"{self.tag}:recent"
        self.hashing = f"{self.tag}:hashing"
        self.hosts = f"{self.tag}:hosts"
        self.told = f"{self.tag}:told"
        self.began = f"{self.tag}:began"
        self.people = f"{self.tag}:p:"  # what each person's key starts with
        self.sessions = f"{self.tag}:s:"  # what the key of each host's sessions starts with

    def person(self, login: str) -> str:
        """Return the key of what `login` has published."""
        return f"{self.people}{login}"

    def sessions_of(self, host: str) -> str:
        """Return the key of the sessions of `host`."""
        return f"{self.sessions}{host}"

    def spent(self, uid: int, hour: int) -> str:
        """Return the key of how often the user `uid` published in `hour` since the epoch."""
        return f"{self.tag}:spent:{uid}:{hour}"

    def asked(self, login: str) -> str:
        """Return the key of how often the entry of `login` was asked for."""
        return f"{self.tag}:asked:{login}"

    def by(self, host: str) -> str:
        """Return the key of the logins whose entries `host` has written."""
        return f"{self.tag}:by:{host}"

    def swept(self, host: str) -> str:
        """Return the key that is there while `host` need not look for accounts that are gone."""
        return f"{self.tag}:swept:{host}"


@cache
def digest(source: str) -> str:
    """Return what the store calls the script `source`, of which there are few: EVALSHA."""
    return hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
