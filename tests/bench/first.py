# SPDX-License-Identifier: MIT
"""First asking: each name once in the life of a server process, so that nothing was kept.

Beside fingerd-sd stand servers that look the name up in a hash table of as many users. The rounds
are as in rounds.py: all take their turn in each, and ratios are taken within one. A process whose
names run out is replaced by a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ..helpers.ended import Ended
from . import build, peers, people
from .build import SOURCES
from .load import Sample, measure
from .peers import DEFER, LIMIT, OURS, OURS_LOGGING, PYTHON, Peer
from .plan import Plan
from .process import Server, ServerError, ask, other_work
from .rounds import FULL, Round

CLIENTS = 256
WARM = 256  # queries of each kind before anything is measured
KEPT, ABSENT, FOUND = "kept", "absent", "found"
KINDS = (KEPT, ABSENT, FOUND)
OURS_STATIC, OURS_DATABASE = "fingerd-sd, static", "fingerd-sd, SQLite"
OURS_ACCOUNTS = "fingerd-sd, accounts"
BARE, BARE_LOGGING = "Python's calls alone", "Python's calls alone, an entry each"
LIMIT_LOGGING = "C, an entry each"
OURS_FIRST = (OURS_STATIC, OURS_DATABASE, OURS_ACCOUNTS)
NOBODY = b"No such user\r\n"
ZERO = "0" * 7  # what load.c puts for number 0


class Asking(NamedTuple):
    """What is asked of a server. `user`: a name, or one with a `%` for a number below `names`."""

    user: str
    names: int = 0


Asked = dict[str, Asking]  # by kind


def accounts(folder: Path, plan: Plan) -> Peer:
    """Return fingerd-sd with `plan.accounts` accounts; it answers for b0000000."""
    mounts, environment = people.accounts(plan.accounts)
    conf = peers.config(folder / "accounts", False, 'type = "accounts"', plan.settings)
    text = f"{plan.accounts:,} accounts by NSS, each with a home and a plan"
    peer = peers.ours(OURS_ACCOUNTS, text, conf)
    return replace(peer, user=f"b{ZERO}", answer=None, mounts=mounts, environment=environment)


def _static(folder: Path, plan: Plan, database: bool) -> Peer:
    many = plan.known
    file = people.database(many, PYTHON) if database else people.toml(many)
    source = f'type = "static"\nfile = "{file}"'
    name = OURS_DATABASE if database else OURS_STATIC
    conf = peers.config(
        folder / ("database" if database else "static"), False, source, plan.settings
    )
    about = f"{many:,} users in {'a database' if database else 'TOML'}"
    return replace(peers.ours(name, about, conf), user=f"u{ZERO}")


def gather(
    found: Sequence[Peer], folder: Path, install: bool, plan: Plan
) -> tuple[list[tuple[Peer, Asked]], dict[str, str]]:
    """Return who is asked, and what; and why the others cannot be. `found`: who was, elsewhere."""
    table = people.names(plan.known)

    def peer(name: str, about: str, *argv: str | Path) -> Peer:
        return Peer(name, about, (*map(str, argv), str(table)), user=f"u{ZERO}")

    makers: dict[str, Callable[[], Peer]] = {
        LIMIT: lambda: peer(LIMIT, "a hash table", build.compiled("limit")),
        peers.PROTOCOL: lambda: peer(
            peers.PROTOCOL, "call_later a connection, a dict", PYTHON, SOURCES / "protocol.py"
        ),
        peers.TWISTED: lambda: peer(
            peers.TWISTED, "a dict", build.peers_python(install), SOURCES / "tutorial.py"
        ),
        peers.GO: lambda: peer(peers.GO, "a map", build.go_program()),
        OURS_STATIC: lambda: _static(folder, plan, False),
        OURS_DATABASE: lambda: _static(folder, plan, True),
        OURS_ACCOUNTS: lambda: accounts(folder, plan),
    }
    some, missing = peers.had(makers)
    every: list[tuple[Peer, Asked]] = []
    for one in some:
        here, names = ("b%", plan.accounts) if one.name == OURS_ACCOUNTS else ("u%", plan.known)
        asked = {ABSENT: Asking("x%", names), FOUND: Asking(here, names)}
        if one.name in (LIMIT, peers.PROTOCOL, peers.TWISTED, peers.GO):
            asked = {KEPT: Asking(one.user), **asked}
        every.append((one, asked))
    kept = [*_least(), *(one for one in found if one.name in (OURS, OURS_LOGGING))]
    return [*every, *((one, {KEPT: Asking(one.user)}) for one in kept)], missing


def _least() -> list[Peer]:
    """Return what no server in Python, or with an entry in the journal for each query, can be
    below.
    """
    about = "no server: the calls that one must make"
    bare = Peer(BARE, about, (PYTHON, "-IS", str(SOURCES / "bare.py")), defer=DEFER)
    c = Peer(LIMIT_LOGGING, "with an entry in the journal", (str(build.compiled("limit")), "log"))
    return [
        replace(c, journal=True),
        bare,
        replace(bare, name=BARE_LOGGING, argv=(*bare.argv, "log"), journal=True),
    ]


class Life(Ended):
    """A server that never hears a name twice: a new process takes over before names run out."""

    def __init__(self, peer: Peer, asked: Asked) -> None:
        self.peer, self.asked = peer, asked
        self._server: Server | None = None
        try:
            self._start()
        except BaseException:
            self.leave(failed=True)
            raise

    def _start(self) -> None:
        self.leave(failed=False)
        self._server = Server(self.peer)
        self._next = dict.fromkeys(self.asked, 1)  # number 0 is asked for the answer to expect
        port = self._server.port
        self._answers = {
            kind: ask(port, asking.user.replace("%", ZERO).encode())
            for kind, asking in self.asked.items()
        }
        for kind, answer in self._answers.items():
            if (answer == NOBODY) != (kind == ABSENT):
                raise ServerError(f"{self.peer.name} answers who is {kind} with {answer[:80]!r}")
        for kind, asking in self.asked.items():
            self._measure(kind, min(WARM, asking.names // 4 or WARM))

    def most(self, kind: str) -> int:
        """Return how many queries of `kind` one process can take at once."""
        names = self.asked[kind].names
        return names - 1 - min(WARM, names // 4) if names else 1 << 30

    def measure(self, kind: str, count: int) -> Sample:
        """Ask `count` queries of `kind`, `most` at most."""
        names, count = self.asked[kind].names, min(count, self.most(kind))
        if names and self._next[kind] + count > names:
            self._start()
        return self._measure(kind, count)

    def _measure(self, kind: str, count: int) -> Sample:
        assert self._server is not None
        asking = self.asked[kind]
        self._server.expect.write_bytes(self._answers[kind])
        options: dict[str, str | int] = {"user": asking.user}
        if asking.names:
            options |= {"names": asking.names, "first": self._next[kind]}
            self._next[kind] += count
        return measure(self._server, min(CLIENTS, count), count, **options)

    def leave(self, failed: bool) -> None:
        """End the process."""
        if self._server is not None:
            self._server.leave(failed)
            self._server = None


def first(
    every: Sequence[tuple[Peer, Asked]],
    plan: Plan,
    missing: dict[str, str],
    tell: Callable[[str], None],
) -> list[Round]:
    """Return the samples of each round, by server and then by kind and "KIND, full"."""
    found: list[Round] = []
    with ExitStack() as stack:
        lives: list[Life] = []
        for peer, asked in every:
            try:
                lives.append(stack.enter_context(Life(peer, asked)))
            except (ServerError, OSError) as error:
                missing[f"first asking, {peer.name}"] = str(error)
        tell(f"first asking: {len(lives)} servers")
        for number in range(plan.rounds):
            turn = lives[number % len(lives) :] + lives[: number % len(lives)]
            this: Round = {life.peer.name: {} for life in lives}
            for kind in KINDS:
                for life in (one for one in turn if kind in one.asked):
                    # Where there are few names, half of them are left to the other measurement.
                    sample = life.measure(kind, min(plan.first, life.most(kind) * 3 // 4))
                    this[life.peer.name][kind] = sample.as_dict()
                with other_work():
                    for life in (one for one in turn if kind in one.asked):
                        sample = life.measure(kind, min(plan.first // 4, life.most(kind) // 4))
                        this[life.peer.name][f"{kind}, {FULL}"] = sample.as_dict()
            found.append(this)
            tell(f"first asking: round {number + 1} of {plan.rounds}")
    return found
