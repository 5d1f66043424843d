# SPDX-License-Identifier: MIT
"""The names of keys in the store.

All have the namespace in braces, so that a cluster has them in one slot, and one command or script
may use several: Redis Cluster Specification, "Hash tags".
"""

from __future__ import annotations


class Names:
    """The names of all keys below `namespace`.

    {ns}:p:LOGIN        hash      what a user has published, on whichever host
    {ns}:recent         zset      logins by the time of the last publish, seconds since the epoch
    {ns}:spent:UID:HOUR string    how often a user has published in an hour since the epoch
    {ns}:asked:LOGIN    hash      how often an entry was asked for
    {ns}:s:HOST         string    the sessions of a host; it expires
    {ns}:hosts          zset      hosts by the time when each last told its sessions
    """

    def __init__(self, namespace: str) -> None:
        self.tag = f"{{{namespace}}}"
        self.recent = f"{self.tag}:recent"
        self.hosts = f"{self.tag}:hosts"
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
