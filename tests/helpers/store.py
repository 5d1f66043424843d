# SPDX-License-Identifier: MIT
"""A real store: the server of Redis or Valkey on a Unix socket, installed without a daemon."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fingerd_sd.config.store import Place, StoreKeys

from . import needs

# Of redis-tools, and of valkey; with argv[0] "redis-server" either is the server.
PROGRAMS = "redis-check-rdb", "valkey-check-rdb"


class Running:
    """A server with its files in `folder`."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.socket = str(folder / "redis.sock")
        self._command = ["redis-server", "--port", "0", "--unixsocket", self.socket]
        self._command += ["--dir", str(folder), "--save", "", "--appendonly", "yes"]
        self._command += ["--appendfsync", "always", *options]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(
            self._command,
            executable=program(),
            stdout=subprocess.DEVNULL,
            restore_signals=False,  # so that a bound on files is an error, not a signal
        )
        end = time.monotonic() + 60
        while True:
            with socket.socket(socket.AF_UNIX) as asking:
                try:
                    asking.connect(self.socket)
                    asking.sendall(b"PING\r\n")
                    if asking.recv(5) in (b"+PONG", b"-NOAU"):
                        return
                except OSError:
                    pass
            assert time.monotonic() < end, "the store does not start"
            assert self._process.poll() is None, "the store has ended"
            time.sleep(0.02)

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        """End it, as a crash of its process would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def say(self, line: str) -> str:
        """Send a command, and return the line that the server says."""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(self.socket)
            asking.sendall(line.encode() + b"\r\n")
            with asking.makefile() as said:
                return said.readline().rstrip("\r\n")

    def keys(self, replicas: int = 0, timeout: float = 2.0, host: str = "") -> StoreKeys:
        """Return the configuration that names it."""
        keys = StoreKeys(f"unix://{self.socket}", Place("unix", path=self.socket))
        return keys._replace(replicas=replicas, timeout=timeout, host=host)


@contextmanager
def store(folder: Path, *options: str) -> Iterator[Running]:
    """A store that runs, with `options` of redis.conf(5) as words."""
    needs.modules("redis")
    needs.programs(program())
    running = Running(folder, *options)
    running.start()
    try:
        yield running
    finally:
        running.stop()


def program() -> str:
    """Return the program to run; the first that may be installed, if none is."""
    return next(filter(None, map(shutil.which, PROGRAMS)), PROGRAMS[0])
