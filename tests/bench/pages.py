# SPDX-License-Identifier: MIT
"""What a page costs: processor time for each request, beside a bare aiohttp.web handler that sends
the same octets. A kept page, one that is asked for the first time, and what of both is HTTP.

Run it by itself: `python3 -m tests.bench.pages`. Connections are kept alive, as a proxy keeps them.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from .build import SOURCES
from .process import LOAD_CORE, SERVER_CORE, listen

ROOT = Path(__file__).parents[2]
CONNECTIONS = 8
PATIENCE = 30.0  # seconds for an answer
PERSON = """
[{login}]
name = "User {login}"
plan = '''
Working on finger, and on the web beside it: https://example.org/~{login}
Until then, see finger:{login}@example.org
'''
"""
CONFIGURATION = """
[server]
idle_exit = 0
log_queries = {log}
[web]
domains = ["example.org"]
[[audience]]
name = "here"
networks = ["127.0.0.0/8"]
rate = 0
[[source]]
type = "static"
file = "users.toml"
"""


@dataclass(frozen=True)
class Running:
    """A server that runs."""

    pid: int
    port: int

    def cpu_us(self) -> float:
        """Return the microseconds of processor time used so far."""
        return time.clock_gettime(((~self.pid) << 3) | 2) * 1e6  # clock_getcpuclockid(3)

    def cpu_us_at_rest(self) -> float:
        """Return the same once the server waits for more: the kernel adds a run to the clock when
        it is over, or at a tick, and a few requests are less than a tick.
        """
        until = time.monotonic() + PATIENCE
        while self._state() != "S" and time.monotonic() < until:
            time.sleep(0.001)
        return self.cpu_us()

    def _state(self) -> str:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2][0]


@contextmanager
def server(argv: Sequence[str], core: int = SERVER_CORE) -> Iterator[Running]:
    """Run `argv` with a listening socket as descriptor 3, as systemd passes one named "web"."""
    activate = (
        "exec 3<&0; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web;"
        f' exec taskset -c {core} "$@"'
    )
    with listen() as listener:
        process = subprocess.Popen(
            ("sh", "-c", activate, "sh", *argv),
            stdin=listener.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        try:
            yield Running(process.pid, listener.getsockname()[1])
        finally:
            process.kill()
            process.wait()


class Load:
    """Clients of a server, one request at a time on each of some connections."""

    def __init__(self, port: int) -> None:
        self._sockets = [
            socket.create_connection(("127.0.0.1", port), PATIENCE) for _ in range(CONNECTIONS)
        ]

    def ask(self, target: str) -> bytes:
        """Return the body at `target`."""
        sock = self._sockets[0]
        sock.sendall(_request(target))
        return _response(sock).partition(b"\r\n\r\n")[2]

    def run(self, count: int, target: Callable[[int], str]) -> None:
        """Ask `count` times for what `target` returns for each number."""
        for number in range(0, count, CONNECTIONS):
            for place, sock in enumerate(self._sockets):
                sock.sendall(_request(target(number + place)))
            for sock in self._sockets:
                assert _response(sock).startswith(b"HTTP/1.1 200 ")

    def close(self) -> None:
        """Close them."""
        for sock in self._sockets:
            sock.close()


def _request(target: str) -> bytes:
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    return f"GET {target} HTTP/1.1\r\nHost: example.org\r\nAccept: {accept}\r\n\r\n".encode()


def _response(sock: socket.socket) -> bytes:
    octets = b""
    while True:
        octets += sock.recv(65536)
        head, ended, body = octets.partition(b"\r\n\r\n")
        if ended and len(body) >= int(
            head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        ):
            return octets


def _person(login: str) -> str:
    return PERSON.format(login=login)


def measure(rounds: int, count: int, log: bool) -> dict[str, float]:
    """Return the medians over `rounds`: processor µs a request of "kept", "first" and "bare", and
    "kept_ratio", "first_ratio", each taken within a round.
    """
    users = count * rounds + 1
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        people = (f"u{number:07d}" for number in range(users))
        (folder / "users.toml").write_text("".join(map(_person, people)))
        (folder / "fingerd.toml").write_text(CONFIGURATION.format(log=str(log).lower()))
        config = str(folder / "fingerd.toml")
        ours = stack.enter_context(
            server((sys.executable, "-m", "fingerd_sd", "serve", "--config", config))
        )
        our_load = Load(ours.port)
        stack.callback(our_load.close)
        (folder / "page").write_bytes(our_load.ask("/~u0000000"))
        page = str(SOURCES / "page.py")
        bare = stack.enter_context(server((sys.executable, page, str(folder / "page"))))
        bare_load = Load(bare.port)
        stack.callback(bare_load.close)
        for load in (our_load, bare_load):
            load.run(200, lambda _: "/~u0000000")
        found: dict[str, list[float]] = {"kept": [], "first": [], "bare": []}
        for number in range(rounds):
            for what, running, load, target in (
                ("kept", ours, our_load, lambda _: "/~u0000000"),
                ("bare", bare, bare_load, lambda _: "/~u0000000"),
                ("first", ours, our_load, lambda i, n=number: f"/~u{1 + n * count + i:07d}"),
            ):
                before = running.cpu_us_at_rest()
                load.run(count, target)
                found[what].append((running.cpu_us_at_rest() - before) / count)
    ratios = {
        f"{what}_ratio": median(
            ours / bare for ours, bare in zip(found[what], found["bare"], strict=True)
        )
        for what in ("kept", "first")
    }
    return {what: median(costs) for what, costs in found.items()} | ratios


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="tests.bench.pages", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--count", type=int, default=2000, help="requests of each kind in a round")
    parser.add_argument("--log", action="store_true", help="with an entry for each request")
    asked = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CORE})
    found = measure(asked.rounds, asked.count, asked.log)
    for what in ("bare", "kept", "first"):
        ratio = f" {found[f'{what}_ratio']:.2f} ×" if what != "bare" else ""
        print(f"{what:6} {found[what]:7.1f} µs{ratio}")


if __name__ == "__main__":
    main()
