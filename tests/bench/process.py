# SPDX-License-Identifier: MIT
"""A server under socket activation: start it, read its processor time and memory, end it.

Only processes started here are ended, each by its own id.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ..helpers.ended import Ended
from ..helpers.needs import namespace
from . import build
from .peers import Peer

BACKLOG = 4096  # what systemd asks for, within net.core.somaxconn
FIRST_ANSWER = 120.0  # seconds: a directory of a million users must be read first
SETTLE = 10.0  # seconds for the processes of a process-a-query server to go
TICK = os.sysconf("SC_CLK_TCK")
# Where journald listens, for one process only: an empty /run with the stand-in's folder in it.
JOURNAL = (
    "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal"
    " && mount --bind '{folder}' /run/systemd/journal"
)


@contextmanager
def other_work() -> Iterator[None]:
    """Keep the servers' core at work, as other programs do: a server then gets half of it."""
    spin = [sys.executable, "-c", "while True: pass"]
    process = subprocess.Popen(["taskset", "-c", str(SERVER_CORE), *spin])
    try:
        yield
    finally:
        process.kill()
        process.wait()


class ServerError(Exception):
    """A server that does not start or does not answer; the text says how."""


def cores() -> tuple[int, int]:
    """Return the core for servers and the one for the load; the same where there is but one."""
    available = sorted(os.sched_getaffinity(0))
    return (available[0], available[1]) if len(available) > 1 else (available[0], available[0])


SERVER_CORE, LOAD_CORE = cores()


def in_namespace(mounts: str, argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command that runs `argv` where the shell commands `mounts` have mounted what it
    needs, for itself alone; the process id stays."""
    return (*namespace(), "sh", "-ec", f'{mounts}\nexec "$@"', "sh", *argv)


def listen() -> socket.socket:
    """Return a listening socket on a free port of 127.0.0.1, as a socket unit would make it."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.bind(("127.0.0.1", 0))
    sock.listen(BACKLOG)
    return sock


def ask(port: int, line: bytes, seconds: float = FIRST_ANSWER, source: str = "127.0.0.1") -> bytes:
    """Return the whole answer to `line`, asked from the address `source`."""
    with socket.create_connection(("127.0.0.1", port), seconds, (source, 0)) as sock:
        sock.sendall(line + b"\r\n")
        answer = b""
        while octets := sock.recv(65536):
            answer += octets
        return answer


class Drain:
    """The stand-in for journald: a process that reads and counts what is logged."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="fingerd-bench-")
        self.folder = Path(self._folder.name)
        self._process = subprocess.Popen(
            [build.compiled("drain"), self.folder / "socket"], stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        self._output = self._process.stdout
        self._output.readline()

    def count(self) -> int:
        """Return how many entries have come so far."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"?", str(self.folder / "socket"))
        return int(self._output.readline())

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._output.close()
        self._folder.cleanup()


class Server(Ended):
    """A running `peer`, pinned to the servers' core, that has given its first answer.

    With `wait` it is activated by the first client instead, as by systemd: then nothing has been
    asked yet, and `port` is where the first client has to go. `listener`: a socket to share.
    """

    def __init__(
        self,
        peer: Peer,
        *,
        wait: bool = False,
        core: int = SERVER_CORE,
        listener: socket.socket | None = None,
    ) -> None:
        self.peer = peer
        self.drain = Drain() if peer.journal else None
        self._output = TemporaryDirectory(prefix="fingerd-bench-")
        self.errors = Path(self._output.name, "errors")
        listener = listen() if listener is None else listener.dup()
        self.port: int = listener.getsockname()[1]
        options = (str(core), str(peer.defer), str(int(wait)))
        argv: tuple[str, ...] = (str(build.compiled("activate")), *options, *peer.argv)
        mounts = JOURNAL.format(folder=self.drain.folder) if self.drain else peer.mounts
        if mounts:
            argv = in_namespace(mounts, argv)
        with self.errors.open("wb") as errors, listener:
            self.process = subprocess.Popen(
                argv,
                stdin=listener.fileno(),
                stdout=subprocess.PIPE,
                stderr=errors,
                env=os.environ | peer.environment,
                cwd="/",
            )
        self.pid = self.process.pid
        self.expect = Path(self._output.name, "expect")
        self.expect.write_bytes(peer.answer or b"")
        if not wait:
            self._first_answer()

    def _first_answer(self) -> None:
        try:
            answer = ask(self.port, self.peer.user.encode())
        except OSError as error:
            answer, why = b"", f": {error}"
        else:
            why = f": {answer[:80]!r}"
        if not answer or (self.peer.answer is not None and answer != self.peer.answer):
            said = self.errors.read_text(errors="replace").strip().splitlines()[-1:]
            self.leave()
            raise ServerError(f"{self.peer.name} did not answer as expected{why} {' '.join(said)}")
        self.expect.write_bytes(answer)

    def cpu_us(self) -> float:
        """Return the microseconds of processor time used so far, with those of ended children.

        The process's own clock counts nanoseconds; that of its children counts in hundredths.
        """
        if self.peer.forks:
            self._settle()
        own = time.clock_gettime(((~self.pid) << 3) | 2)  # clock_getcpuclockid(3)
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2].split()
        return (own + (int(fields[13]) + int(fields[14])) / TICK) * 1e6

    def _settle(self) -> None:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        until = time.monotonic() + SETTLE
        while children.read_text().strip() and time.monotonic() < until:
            time.sleep(0.002)

    def rss_kib(self) -> float:
        """Return the resident memory in KiB, that of its children too."""
        total, todo = 0.0, [self.pid]
        while todo:
            pid = todo.pop()
            try:
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                total += sum(float(line.split()[1]) for line in lines if line.startswith("Rss:"))
                todo += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            except (FileNotFoundError, ProcessLookupError):
                continue
        return total

    def leave(self, failed: bool = False) -> None:
        """End the server, and its stand-in for journald."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is None:
                self.process.send_signal(number)
                try:
                    self.process.wait(2)
                except subprocess.TimeoutExpired:
                    continue
        if self.process.stdout is not None:
            self.process.stdout.close()
        if self.drain is not None:
            self.drain.close()
        self._output.cleanup()
