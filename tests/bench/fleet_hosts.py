# SPDX-License-Identifier: MIT
"""Many hosts beside one store: what they send it, each over a connection of its own."""

from __future__ import annotations

import hashlib
import resource
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

from fingerd_sd.config.store import TTL
from fingerd_sd.store import people
from fingerd_sd.store.presence import everywhere, telling
from fingerd_sd.store.presence.told import MAX_OCTETS, octets_of
from fingerd_sd.store.server import Server

from ..helpers.ended import Ended
from .fleet_store import Watched, entry, host, login, packed, sessions

ALIVE = b"+PONG\r\n"
TOLD = b":1\r\n"
SIGNS = 10
AT_ONCE = 20  # servers that get long replies
CHANNEL = "__redis__:invalidate"


class Hosts(Ended):
    """Connections of `count` hosts to the store at `path`."""

    def __init__(self, path: str, count: int) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, count + 500)), hard))
        with ExitStack() as stack:
            self._sockets = [
                stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(count)
            ]
            for one in self._sockets:
                one.connect(path)
            self._stack = stack.pop_all()

    def all(self, commands: Sequence[bytes], end: bytes, at_once: int = 0) -> int:
        """Send one of `commands` for each host, `at_once` of them at a time (0: all), and read
        until each reply ends with `end`. Return how many octets have come.
        """
        octets, step = 0, at_once or len(self._sockets)
        for at in range(0, len(self._sockets), step):
            some = self._sockets[at : at + step]
            for number, one in enumerate(some, at):
                one.sendall(commands[number % len(commands)])
            octets += sum(len(_until(one, end)) for one in some)
        return octets

    def paced(self, commands: Sequence[bytes], end: bytes, seconds: float) -> None:
        """Send as `all` does, evenly over `seconds`."""
        begun, every = time.monotonic(), seconds / len(self._sockets)
        for number, one in enumerate(self._sockets):
            time.sleep(max(0.0, begun + number * every - time.monotonic()))
            one.sendall(commands[number % len(commands)])
            assert _until(one, end)[:1] != b"-"

    def hear(self, server: Server) -> None:
        """Have each hear of what users publish, as `fingerd_sd.store.changes` does."""
        for one in self._sockets:
            one.sendall(packed("CLIENT", "ID"))
            number = _until(one, b"\r\n")[1:].strip()
            prefix = ("BCAST", "PREFIX", server.names.people)
            one.sendall(packed("CLIENT", "TRACKING", "ON", "REDIRECT", number, *prefix))
            assert _until(one, b"\r\n") == b"+OK\r\n"
            one.sendall(packed("SUBSCRIBE", CHANNEL))
            _until(one, b":1\r\n")

    def heard(self, end: bytes) -> None:
        """Read from each until `end` comes."""
        for one in self._sockets:
            _until(one, end)

    def leave(self, failed: bool = False) -> None:
        """End all connections."""
        self._stack.close()


def _until(sock: socket.socket, end: bytes) -> bytes:
    octets = b""
    while not octets.endswith(end):
        some = sock.recv(1 << 20)
        assert some, "the store has ended the connection"
        octets += some
    return octets


def _script(source: str, keys: Sequence[str], args: Sequence[str | bytes | float]) -> bytes:
    digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    return packed("EVALSHA", digest, len(keys), *keys, *args)


def loaded(watched: Watched) -> None:
    """Have the store know the scripts."""
    for source in (telling._TELL, everywhere._READ, people.SCRIPT):
        watched.said("SCRIPT", "LOAD", source)


def tellings(server: Server, count: int, moved: float = 0.0) -> list[bytes]:
    """Return what `count` hosts tell of their sessions."""
    return [
        _script(
            telling._TELL,
            telling._keys(server, host(number)),
            (host(number), octets_of(sessions(number, moved)), telling.EXPIRY),
        )
        for number in range(count)
    ]


def reading(server: Server, last: float) -> bytes:
    """Return the question for hosts that have changed after the change `last`."""
    names = server.names
    keys = (names.hosts, names.told, names.began)
    args = (repr(last), everywhere.PAGE, MAX_OCTETS, names.sessions, everywhere.PAGE_OCTETS)
    return _script(everywhere._READ, keys, args) + packed("PING")


class Cost(NamedTuple):
    """What hosts ask of the store. `us`: its processor time for one; `rate`: how many of them it
    did in a second; `octets`: of one reply.
    """

    what: str
    us: float
    rate: float
    octets: float = 0.0


def costs(
    watched: Watched, server: Server, count: int, people_there: int, rounds: int
) -> list[Cost]:
    """Return what each thing that hosts ask of the store costs it, asked by `count` at once."""
    found: list[Cost] = []

    with Hosts(watched.path, count) as hosts:

        def measured(what: str, commands: Sequence[list[bytes]], end: bytes, at_once: int) -> None:
            with watched.spent() as spent:
                octets = sum(hosts.all(one, end, at_once) for one in commands)
            done = count * len(commands)
            found.append(Cost(what, spent.each(done), done / spent.wall, octets / done))

        same = [tellings(server, count, 1.0)] * rounds
        moved = [tellings(server, count, number + 2.0) for number in range(rounds)]
        measured("PING, to compare", [[packed("PING")]] * rounds, ALIVE, 0)
        hosts.all(same[0], TOLD)
        measured("a host tells, and nothing is new", same, TOLD, 0)
        measured("a host tells, and something is", moved, TOLD, 0)
        newest = server.names.told, 0, everywhere.PAGE, "WITHSCORES"
        numbers = [float(number) for number in watched.listed("ZREVRANGE", *newest)[1::2]] + [0.0]
        for told in (0, 1, min(everywhere.PAGE, count)):
            what = f"a server asks which hosts have changed: {told}"
            measured(what, [[reading(server, numbers[told])]] * rounds, ALIVE, AT_ONCE)
        step = max(1, people_there // count)
        asked = [
            _script(people.SCRIPT, (server.names.person(login(number * step)),), people.ARGUMENTS)
            + packed("PING")
            for number in range(min(count, people_there))
        ]
        measured(f"a server asks for an entry, of {people_there:,}", [asked] * rounds, ALIVE, 0)
    return found


def heard(watched: Watched, server: Server, counts: Sequence[int], rounds: int) -> dict[int, float]:
    """Return the store's processor microseconds for a publish, by how many servers hear of it."""
    found = {}
    one = entry(0, 1)
    words = [word for pair in people.fields(one).items() for word in pair]
    key = server.names.person(one.login)
    for count in counts:
        with Hosts(watched.path, 1) as writer, Hosts(watched.path, count) as hosts:
            hosts.hear(server)
            with watched.spent() as spent:
                for _ in range(rounds):
                    writer.all([packed("HSET", key, *words)], b":0\r\n")
                    hosts.heard(key.encode() + b"\r\n")
        found[count] = spent.each(rounds)
    return found


def idle(watched: Watched, count: int) -> float:
    """Return which part of a core the store needs for signs of life of `count` servers, which hear
    of changes while there are none.
    """
    with Hosts(watched.path, count) as hosts, watched.spent() as spent:
        for _ in range(SIGNS):
            hosts.paced([packed("PING")], ALIVE, TTL / 4)
    return spent.cpu / spent.wall


def connected(watched: Watched, count: int) -> float:
    """Return the KiB of the store for each of `count` connections that wait."""
    before, _ = watched.memory()
    with Hosts(watched.path, count) as hosts:
        hosts.all([packed("PING")], ALIVE)
        after, _ = watched.memory()
    return (after - before) * 1024 / count
