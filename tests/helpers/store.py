# SPDX-License-Identifier: MIT
"""A real store: Debian's redis-server, by the name of redis-check-rdb, on a Unix socket."""

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

PROGRAM = "redis-check-rdb"  # of redis-tools; with argv[0] "redis-server" it is the server


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
            self._command, executable=shutil.which(PROGRAM), stdout=subprocess.DEVNULL
        )
        end = time.monotonic() + 60
        while True:
            with socket.socket(socket.AF_UNIX) as asking:
                try:
                    asking.connect(self.socket)
                    asking.sendall(b"PING\r\n")
                    if asking.recv(5) == b"+PONG":
                        return
                except OSError:
                    pass
            assert time.monotonic() < end, "the store does not start"
            assert self._process.poll() is None, "the store has ended"
            time.sleep(0.02)

    def stop(self) -> None:
        """End it, as a crash of its process would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def keys(self, replicas: int = 0, timeout: float = 2.0) -> StoreKeys:
        """Return the configuration that names it."""
        keys = StoreKeys(f"unix://{self.socket}", Place("unix", path=self.socket))
        return keys._replace(replicas=replicas, timeout=timeout)


@contextmanager
def store(folder: Path, *options: str) -> Iterator[Running]:
    """A store that runs, with `options` of redis.conf(5) as words."""
    needs.modules("redis")
    needs.programs(PROGRAM)
    running = Running(folder, *options)
    running.start()
    try:
        yield running
    finally:
        running.stop()
