# SPDX-License-Identifier: MIT
"""A store with what many hosts would have put there, filled in bulk, and what it costs its server.

People and sessions have the keys and the forms that the project's own writers give them.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

from fingerd_sd.store import people
from fingerd_sd.store.keys import Names
from fingerd_sd.store.presence.told import Told

from ..helpers.ended import Ended
from ..helpers.store import Running
from .people import FIRST_UID

EACH = 20  # sessions of a host
TOGETHER = 500  # people written in one go
DEEP = 3600.0  # seconds between two publishes, all in all
NOON = 1_795_608_000.0  # seconds since the epoch
PLAN = "Working on the engine.\n" + "More of what is to be done, line by line.\n" * 12


def login(number: int) -> str:
    """Return a login, as load.c makes it of `b%`."""
    return f"b{number:07d}"


def host(number: int) -> str:
    """Return what a host is called."""
    return f"login{number}"


def entry(number: int, hosts: int) -> people.Entry:
    """Return what a user has published at one of `hosts`."""
    return people.Entry(
        login=login(number),
        uid=FIRST_UID + number,
        at=NOON - number,
        plan=PLAN,
        first=PLAN.partition("\n")[0],
        host=host(number % hosts),
        name="Bench",
        office="B 400",
        phone="5550123",
    )


def sessions(number: int, moved: float = 0.0) -> list[Told]:
    """Return EACH sessions on a host. `moved`: seconds since the terminals were first used."""
    now = time.time()
    return [
        Told(
            user=login(number * EACH + one),
            uid=FIRST_UID + number * EACH + one,
            since=NOON + number + one / 64,
            tty=f"pts/{one}",
            host=f"2001:db8:{number:x}::{one:x}",
            active=float(round(now - 3600 + moved + one)),
            messages=True,
        )
        for one in range(EACH)
    ]


def packed(*words: str | bytes | float) -> bytes:
    """Return a command as it is sent: Redis serialization protocol specification."""
    octets = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(octets) + b"".join(b"$%d\r\n%s\r\n" % (len(o), o) for o in octets)


class Pipe(Ended):
    """A connection to the store that sends commands without waiting for each reply."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._replies = self._socket.makefile("rb")

    def send(self, commands: Iterable[bytes]) -> None:
        """Send `commands`, whose replies are a line each, and read those."""
        sent = list(commands)
        self._socket.sendall(b"".join(sent))
        for _ in sent:
            reply = self._replies.readline()
            assert reply[:1] in (b":", b"+"), reply

    def leave(self, failed: bool = False) -> None:
        """End the connection."""
        self._replies.close()
        self._socket.close()


def fill(path: str, names: Names, numbers: Iterable[int], hosts: int) -> None:
    """Store what the users of `numbers` have published at `hosts`, as the keepers would."""

    def commands(number: int) -> Iterator[bytes]:
        one = entry(number, hosts)
        told = [word for pair in people.fields(one).items() for word in pair]
        yield packed("HSET", names.person(one.login), *told)
        yield packed("ZADD", names.recent, repr(one.at), one.login)
        yield packed("SADD", names.by(one.host), one.login)

    with Pipe(path) as pipe:
        batch: list[bytes] = []
        for number in numbers:
            batch += commands(number)
            if len(batch) >= 3 * TOGETHER:
                pipe.send(batch)
                batch = []
        pipe.send(batch)


@dataclass
class Spent:
    """What a store's process has spent: processor seconds, and seconds on the clock."""

    cpu: float = 0.0
    wall: float = 0.0
    _clock: int = field(default=0, repr=False)

    def each(self, count: int) -> float:
        """Return the processor microseconds for one of `count`."""
        return self.cpu / count * 1e6

    def __enter__(self) -> Self:
        self.cpu -= time.clock_gettime(self._clock)
        self.wall -= time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu += time.clock_gettime(self._clock)
        self.wall += time.monotonic()


class Watched:
    """What the store `running` says of itself, and what it spends."""

    def __init__(self, running: Running) -> None:
        self.path = running.socket
        self._clock = ((~int(self.info("server")["process_id"])) << 3) | 2  # clock_getcpuclockid(3)

    def spent(self) -> Spent:
        """Return what the block that it opens takes of the store."""
        return Spent(_clock=self._clock)

    def info(self, section: str) -> dict[str, str]:
        """Return a section of INFO."""
        lines = self.said("INFO", section).splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def said(self, *words: str | int) -> str:
        """Return the text that is the reply to a command."""
        return self.listed(*words)[0]

    def listed(self, *words: str | int) -> list[str]:
        """Return the texts of which the reply to a command is a list."""
        with socket.socket(socket.AF_UNIX) as sock, sock.makefile("rb") as replies:
            sock.connect(self.path)
            sock.sendall(packed(*words))
            first = replies.readline()
            if first[:1] in (b"+", b":"):
                return [first[1:].decode().strip()]
            assert first[:1] in (b"$", b"*"), first
            sizes = (
                [first]
                if first[:1] == b"$"
                else (replies.readline() for _ in range(int(first[1:])))
            )
            return [replies.read(int(size[1:]) + 2)[:-2].decode() for size in sizes]

    def memory(self) -> tuple[float, float]:
        """Return the MiB that the data takes there, and the process's resident memory."""
        found = self.info("memory")
        return int(found["used_memory"]) / (1 << 20), int(found["used_memory_rss"]) / (1 << 20)


@contextmanager
def only_fast(watched: Watched) -> Iterator[None]:
    """Have the store not wait for its disk in the block, which fills it."""
    watched.said("CONFIG", "SET", "appendfsync", "no")
    try:
        yield
    finally:
        watched.said("CONFIG", "SET", "appendfsync", "always")
