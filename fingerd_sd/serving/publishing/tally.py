# SPDX-License-Identifier: MIT
"""Who asked: how often each entry was asked for, and from how many networks. Never which.

finger.service counts in memory, where `[publish] who` says so, and tells the keeper once a minute,
by the same socket as users; the kernel's word is that it is finger.service. The keeper knows a
network by a keyed hash, keeps counts for DAYS, and shows a user two numbers.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from ipaddress import ip_network

from fingerd_sd.process.threads import Pool
from fingerd_sd.serving.publishing.client import SOCKET, NotReached, exchange

DO = "asked"  # the word of such a request
DAYS = 7
DAY = 86400.0  # seconds
EVERY = 60.0  # seconds between two tellings
PATIENCE = 5.0  # seconds for the last one, when the process leaves
MAX_PEOPLE = 300  # entries counted between two tellings
MAX_NETWORKS = 30  # of one entry between two tellings
MAX_DAY = 1000  # networks of one entry in one day
LONGEST = 1 << 19  # octets of a request: 9,000 networks and their counts
OTHERS = ""  # stands for all networks beyond that
SCHEMA = """
CREATE TABLE asked (
    login TEXT, day INTEGER, network BLOB, count INTEGER, PRIMARY KEY (login, day, network)
) WITHOUT ROWID;
CREATE TABLE hashing (key BLOB);
"""

Counts = dict[str, dict[str, int]]  # by login and by network


class Tally:
    """Counts in finger.service. `tell` sends a request to the keeper. `clock`: monotonic
    seconds.
    """

    def __init__(
        self,
        tell: Callable[[bytes, float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tell = tell or _tell
        self._clock = clock
        self._pool = Pool(1, "tally")
        self._counts: Counts = {}
        self._next = clock() + EVERY

    def count(self, login: str, address: str) -> None:
        """Count a query for `login` by a client at `address`; tell the keeper if it is time."""
        networks = self._counts.get(login)
        if networks is None:
            if len(self._counts) >= MAX_PEOPLE:
                return
            networks = self._counts[login] = {}
        network = _network(address)
        if network not in networks and len(networks) >= MAX_NETWORKS:
            network = OTHERS
        networks[network] = networks.get(network, 0) + 1
        if self._clock() >= self._next:
            self._next = self._clock() + EVERY
            counts, self._counts = self._counts, {}
            self._pool.submit(self._tell, request(counts), EVERY)

    def rest(self) -> None:
        """Tell the keeper what has not been told: the process leaves. It blocks for a moment."""
        counts, self._counts = self._counts, {}
        if counts:
            self._tell(request(counts), PATIENCE)


def _tell(line: bytes, patience: float) -> None:
    with suppress(NotReached):  # publishing was switched off: these counts are lost
        exchange(SOCKET, line, patience)


@lru_cache(4096)
def _network(address: str) -> str:
    """Return the network that counts as one asker: /24, /48, or this machine."""
    try:
        return str(ip_network(f"{address}/{48 if ':' in address else 24}", strict=False))
    except ValueError:
        return "local"


def request(counts: Counts) -> bytes:
    """Return the line that tells the keeper `counts`."""
    return json.dumps({"do": DO, "counts": counts}).encode("ascii") + b"\n"


def told(octets: bytes) -> Counts | None:
    """Return the counts in a request; None if it is another request, or not whole."""
    try:
        asked = json.loads(octets)
        if asked["do"] != DO:
            return None
        return {
            str(login): {str(network): int(count) for network, count in networks.items()}
            for login, networks in asked["counts"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def hashed(network: str, key: bytes) -> bytes:
    """Return what stands for `network`: nobody without `key` can tell which it is."""
    if network == OTHERS:
        return b""
    return hashlib.blake2b(network.encode(), key=key, digest_size=8).digest()


def note(database: sqlite3.Connection, counts: Mapping[str, Mapping[str, int]], now: float) -> None:
    """Add `counts` to the tables, of who has an entry; and forget what is older than DAYS. `now`:
    seconds since the epoch. The caller has a transaction.
    """
    day, key = int(now // DAY), _key(database)
    database.execute("DELETE FROM asked WHERE day <= ? OR day > ?", (day - DAYS, day))
    for login, networks in counts.items():
        if not database.execute("SELECT 1 FROM person WHERE login = ?", (login,)).fetchone():
            continue
        (known,) = database.execute(
            "SELECT count(*) FROM asked WHERE login = ? AND day = ?", (login, day)
        ).fetchone()
        for network, count in networks.items():
            known += 1
            crowd = known > MAX_DAY
            name = b"" if crowd else hashed(network, key)
            database.execute(
                "INSERT INTO asked VALUES (?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET count = count + excluded.count",
                (login, day, name, count),
            )


def asked(database: sqlite3.Connection, login: str, now: float) -> dict[str, int]:
    """Return how many "times", and from how many "networks", `login` was asked for in DAYS."""
    times, networks = database.execute(
        "SELECT coalesce(sum(count), 0), count(DISTINCT network) FROM asked"
        " WHERE login = ? AND day > ?",
        (login, int(now // DAY) - DAYS),
    ).fetchone()
    return {"times": int(times), "networks": int(networks)}


def _key(database: sqlite3.Connection) -> bytes:
    """Return the key of the hashes, which nobody else has: networks are few, and could be tried."""
    found = database.execute("SELECT key FROM hashing").fetchone()
    if found is None:
        found = (os.urandom(32),)
        database.execute("INSERT INTO hashing VALUES (?)", found)
    return bytes(found[0])
