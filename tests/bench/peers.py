# SPDX-License-Identifier: MIT
"""Who is measured: for each server its command, its socket options, its answer.

All get the same listening socket by the same activation, and the same answer where they let us.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..helpers import needs
from . import build
from .build import SOURCES, UnavailableError

ROOT = Path(__file__).parents[2]
PYTHON = "/usr/bin/python3"
ANSWER = b"Happy and well\r\n"
DEFER = 5  # seconds of TCP_DEFER_ACCEPT, DeferAcceptSec= in a socket unit

LIMIT, LIMIT_HELPED = "C", "C, deferred, one segment"
OURS, OURS_LOGGING = "fingerd-sd, no query log", "fingerd-sd"
OURS_PLAIN = "fingerd-sd, no query log, not deferred"
OURS_PROXIED = "fingerd-sd, no query log, PROXY protocol"
PROTOCOL, STREAMS = "asyncio Protocol, timer", "asyncio streams, timeout"
TWISTED, PYFINGERD, GO = "Twisted's tutorial", "pyfingerd", "Go"
BSD, BSD_SAY, EFINGERD, CFINGERD = "fingerd", "fingerd, same answer", "efingerd", "cfingerd"

# What a balancer sends first; the client counts as one of this machine, so that it has no rate.
HEADER = "PROXY TCP4 127.0.0.1 127.0.0.1 51234 79\r\n"

CONFIG = """\
[server]
log_queries = {log}
idle_exit = 0
query_timeout = 600     # the silent clients are to stay while they are counted
max_connections = 30000
max_per_client = 30000  # all clients of this benchmark have one address
{settings}

[[source]]
{source}
"""
MOSHEZ = 'type = "static"\nusers = { moshez = "Happy and well" }'


@dataclass(frozen=True)
class Peer:
    """A server. `about`: one line for the report. `answer`: None: taken from its first answer.
    `queries`: how many to ask of it where another gets 1,000: fewer of a process for each query.
    `journal`: whether it needs the stand-in for journald; `mounts`: shell commands that mount what
    else it needs, for itself alone."""

    name: str
    about: str
    argv: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    defer: int = 0
    user: str = "moshez"
    answer: bytes | None = ANSWER
    forks: bool = False
    journal: bool = False
    mounts: str = ""


def config(folder: Path, log: bool, source: str = MOSHEZ, settings: Sequence[str] = ()) -> Path:
    """Write a configuration of fingerd-sd into `folder` and return it. `source`: what its one
    source has; `settings`: more lines of [server]."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"fingerd-{'log' if log else 'quiet'}.toml"
    lines = "\n".join(settings)
    path.write_text(CONFIG.format(log=str(log).lower(), source=source, settings=lines))
    return path


def launcher() -> tuple[str, ...]:
    """Return the command fingerd-sd as `make install` has it, but for where its modules are."""
    text = (ROOT / "packaging/launcher.py").read_text()
    made = build.CACHE / "launcher.py"
    made.parent.mkdir(parents=True, exist_ok=True)
    made.write_text(text.replace("@LIB@", str(ROOT)).replace("@PYTHON@", PYTHON))
    return (PYTHON, *text.splitlines()[0].split()[1:], str(made))


def ours(name: str, about: str, conf: Path, defer: int = DEFER, journal: bool = False) -> Peer:
    """Return fingerd-sd as this tree has it."""
    argv = (*launcher(), "serve", "--config", str(conf))
    return Peer(name, about, argv, {}, defer, journal=journal)


def _proxied(conf: Path) -> Peer:
    peer = ours(OURS_PROXIED, "the same, by a header of version 1 before each query", conf)
    return replace(peer, environment={"LISTEN_FDNAMES": "proxy"}, user=f"{HEADER}{peer.user}")


def _limit() -> Peer:
    return Peer(LIMIT, "minimal epoll server, plain socket", (str(build.compiled("limit")),))


def _limit_helped() -> Peer:
    return Peer(
        LIMIT_HELPED,
        "the same with TCP_DEFER_ACCEPT, answer and FIN in one segment",
        (str(build.compiled("limit")), "more"),
        defer=DEFER,
    )


def _python(name: str, about: str, script: str, python: Path | str) -> Peer:
    return Peer(name, about, (str(python), str(SOURCES / script)))


def _inetd(*argv: Path | str) -> tuple[str, ...]:
    return (str(build.compiled("inetd")), *map(str, argv))


def _bsd(install: bool, same: bool) -> Peer:
    """fingerd becomes nobody, who cannot look into a cache folder: finger is put into /mnt."""
    server = build.debian("fingerd", install) / "usr/sbin/in.fingerd"
    finger = build.debian("finger", install) / "usr/bin/finger"
    source = build.compiled("say", "-static") if same else finger
    mounts = f"mount -t tmpfs tmpfs /mnt; touch /mnt/finger; mount --bind '{source}' /mnt/finger"
    argv = _inetd(server, "-p", "/mnt/finger")
    if same:
        about = "the same with a lesser program than finger(1)"
        return Peer(BSD_SAY, about, argv, forks=True, mounts=mounts)
    about = "Debian's fingerd and finger(1), a process a query, asked for the account daemon"
    return Peer(BSD, about, argv, user="daemon", answer=None, forks=True, mounts=mounts)


def _efingerd(install: bool) -> Peer:
    library = next(build.debian("libident", install).glob("usr/lib/*/libident.so.0"))
    argv = _inetd(build.debian("efingerd", install) / "usr/sbin/efingerd", "-n")
    mounts = f"mount --bind '{build.etc_of_peers(install)}' /etc"
    about = "Debian's, -n (no reverse look-up), a process a query"
    environment = {"LD_LIBRARY_PATH": str(library.parent)}
    return Peer(EFINGERD, about, argv, environment, answer=None, forks=True, mounts=mounts)


def _cfingerd(install: bool) -> Peer:
    if why := needs.becoming_nobody():
        raise UnavailableError(f"runs as root only: {why}")
    argv = _inetd(build.debian("cfingerd", install) / "usr/sbin/cfingerd")
    mounts = f"mount --bind '{build.etc_of_peers(install)}' /etc"
    about = "Debian's, a process a query"
    return Peer(CFINGERD, about, argv, answer=None, forks=True, mounts=mounts)


def gather(
    folder: Path, install: bool, settings: Sequence[str] = ()
) -> tuple[list[Peer], dict[str, str]]:
    """Return the peers that can be had here, and for each of the others the reason."""
    quiet, logging = (config(folder, log, settings=settings) for log in (False, True))
    makers: dict[str, Callable[[], Peer]] = {
        LIMIT: _limit,
        LIMIT_HELPED: _limit_helped,
        OURS: lambda: ours(OURS, "log_queries = false, TCP_DEFER_ACCEPT", quiet),
        OURS_LOGGING: lambda: ours(
            OURS_LOGGING, "with the query log, to a stand-in for journald", logging, journal=True
        ),
        OURS_PLAIN: lambda: ours(OURS_PLAIN, "log_queries = false, plain socket", quiet, defer=0),
        OURS_PROXIED: lambda: _proxied(quiet),
        PROTOCOL: lambda: _python(PROTOCOL, "call_later a connection", "protocol.py", PYTHON),
        STREAMS: lambda: _python(STREAMS, "a task a connection", "streams.py", PYTHON),
        TWISTED: lambda: _python(
            TWISTED, "PyPI's newest, no timeout", "tutorial.py", build.peers_python(install)
        ),
        PYFINGERD: lambda: _python(
            PYFINGERD, "PyPI's newest, no timeout", "pyfinger.py", build.peers_python(install)
        ),
        GO: lambda: Peer(GO, "a goroutine a connection, deadline", (str(build.go_program()),)),
        BSD: lambda: _bsd(install, False),
        BSD_SAY: lambda: _bsd(install, True),
        EFINGERD: lambda: _efingerd(install),
        CFINGERD: lambda: _cfingerd(install),
    }
    return had(makers)


def had(makers: dict[str, Callable[[], Peer]]) -> tuple[list[Peer], dict[str, str]]:
    """Return those that can be made here, and for each of the others the reason."""
    peers, missing = [], {}
    for name, make in makers.items():
        try:
            peers.append(make())
        except (UnavailableError, StopIteration, OSError) as error:
            missing[name] = str(error) or type(error).__name__
    return peers, missing
