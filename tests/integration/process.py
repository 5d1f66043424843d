# SPDX-License-Identifier: MIT
"""A real fingerd-sd process under socket activation, with this test as its service manager.

What systemd does is done here by its documented means: listening sockets from descriptor 3 on,
LISTEN_* in the environment, a datagram socket for sd_notify(3), one for the journal.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0  # seconds until an event that does not come fails a test

# The shell moves the sockets to 3, 4, …, and its process becomes the service: LISTEN_PID is right.
_ACTIVATE = """
for move in $MOVES; do eval "exec $move"; done
unset MOVES
[ "$LISTEN_FDS" = 0 ] && unset LISTEN_FDS LISTEN_FDNAMES || export LISTEN_PID=$$
exec "$@"
"""

SERVE = (sys.executable, "-m", "fingerd_sd", "serve")


def listener(address: tuple[str, int] = ("127.0.0.1", 0)) -> socket.socket:
    """Return a listening TCP socket, as the socket unit would hold it."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(address)
    sock.listen(4096)
    return sock


def ask(sock: socket.socket, line: bytes) -> bytes:
    """Return all that the server behind the listening socket `sock` says to `line`."""
    with socket.socket(sock.family, socket.SOCK_STREAM) as client:
        client.settimeout(PATIENCE)
        client.connect(sock.getsockname())
        client.sendall(line)
        return everything(client)


def everything(client: socket.socket) -> bytes:
    """Return what comes until the server closes; a reset fails the test that asked."""
    chunks = []
    while chunk := client.recv(65536):
        chunks.append(chunk)
    return b"".join(chunks)


@dataclass
class Running:
    """A process that was started. `told`: what it has told its manager so far."""

    process: subprocess.Popen[bytes]
    notify: socket.socket
    told: list[str] = field(default_factory=list)

    def wait_for(self, text: str) -> str:
        """Return the first message from now on that has `text` in it."""
        end = time.monotonic() + PATIENCE
        while True:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.notify], [], [], left)[0]:
                raise AssertionError(f"never told {text!r}; told {self.told}; {self.stderr()}")
            message = self.notify.recv(65536).decode()
            self.told.append(message)
            if text in message:
                return message

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return self.exit_status()

    def exit_status(self) -> int:
        """Wait for the process to leave and return its exit status."""
        return self.process.wait(PATIENCE)

    def stderr(self) -> str:
        """Return what it said on standard error; only once it has left."""
        if self.process.poll() is None:
            return "(running)"
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()


@contextmanager
def serving(
    listeners: Sequence[socket.socket],
    tmp_path: Path,
    *arguments: str,
    command: Sequence[str] = SERVE,
    names: str | None = None,
    ready: bool = True,
    **environment: str,
) -> Iterator[Running]:
    """Start `fingerd-sd serve ARGUMENTS` with `listeners`; end it afterwards, whatever happens."""
    path = tmp_path / "notify"
    path.unlink(missing_ok=True)
    fds = [sock.fileno() for sock in listeners]
    # Out of the way first: a target may be the number of a source.
    moves = [f"{100 + i}<&{fd}" for i, fd in enumerate(fds)]
    moves += [f"{3 + i}<&{100 + i} {100 + i}<&-" for i in range(len(fds))]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(path))
        env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "MOVES": " ".join(moves),
            "LISTEN_FDS": str(len(fds)),
            "LISTEN_FDNAMES": names if names is not None else ":".join(["finger"] * len(fds)),
            "NOTIFY_SOCKET": str(path),
            **environment,
        }
        process = subprocess.Popen(
            ["/bin/bash", "-c", _ACTIVATE, "sh", *command, *arguments],
            env=env,
            pass_fds=fds,
            stderr=subprocess.PIPE,
            cwd="/",
        )
        running = Running(process, notify)
        try:
            if ready:
                running.wait_for("READY=1")
            yield running
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(PATIENCE)
            if process.stderr is not None:
                process.stderr.close()


def configured(tmp_path: Path, text: str) -> str:
    """Return the path of a configuration file that holds `text`."""
    path = tmp_path / "fingerd.toml"
    path.write_text(text)
    return str(path)
