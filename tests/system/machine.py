# SPDX-License-Identifier: MIT
"""A booted Debian machine as the tests use it: run, write, read the journal, ask over its network.

Commands enter the container's namespaces with a clean environment. Sockets are made inside its
network namespace but held by the test itself, so that a test sees every octet, refusal and reset.
Knows systemd, but nothing of the project.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .nspawn import Container
from .waiting import wait_for

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
}
BOOT_TIMEOUT = 180.0  # seconds
RUN_TIMEOUT = 120.0  # seconds
ASK_TIMEOUT = 60.0  # seconds without an octet
CLONE_NEWNET = 0x40000000


class CommandError(Exception):
    """A command in the machine failed; the text holds all that it said."""


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended and what it said; octets that are not UTF-8 are lone surrogates."""

    status: int
    stdout: str
    stderr: str


class Machine:
    """One booted machine. `release`: its Debian code name."""

    def __init__(self, release: str, root: Path, use: str = "") -> None:
        """Boot an overlay over `root`; return when the boot is over. `close` it in any case.

        `use`: letters that tell this machine from another of the same release.
        """
        self.release = release
        self._container = Container(root, release + use)
        self._network = ThreadPoolExecutor(1, "network", self._enter_network)
        try:
            wait_for(self._booted, f"{release} to boot", BOOT_TIMEOUT, self._container.console)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Power off; nothing of the machine stays."""
        self._network.shutdown()
        self._container.end()

    def command(self, *argv: str) -> list[str]:
        """Return the command of this host that runs `argv` in the machine."""
        target = str(self._container.leader)
        environment = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
        enter = ["nsenter", "-t", target, "-m", "-u", "-i", "-n", "-p", "-C"]
        return [*enter, "--", "env", "-i", *environment, *argv]

    def run(
        self, *argv: str, stdin: str = "", check: bool = True, timeout: float = RUN_TIMEOUT
    ) -> Said:
        """Run `argv` to its end. `check`: raise CommandError unless it returns 0."""
        done = subprocess.run(
            self.command(*argv),
            check=False,
            input=stdin.encode("utf-8", "surrogateescape"),
            capture_output=True,
            timeout=timeout,
        )
        stdout, stderr = (
            octets.decode("utf-8", "surrogateescape") for octets in (done.stdout, done.stderr)
        )
        if check and done.returncode != 0:
            raise CommandError(f"{argv} returned {done.returncode}:\n{stdout}{stderr}")
        return Said(done.returncode, stdout, stderr)

    def start(self, *argv: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """Start `argv` in the background; the caller waits for it."""
        return subprocess.Popen(
            self.command(*argv),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def outside(self, pid: int) -> int:
        """Return the id by which this host knows the machine's process `pid`."""
        namespace = os.readlink(f"/proc/{self._container.leader}/ns/pid")
        for status in Path("/proc").glob("[0-9]*/status"):
            with contextlib.suppress(OSError):
                if os.readlink(status.parent / "ns/pid") != namespace:
                    continue
                ids = next(line for line in status.read_text().splitlines() if "NSpid" in line)
                if int(ids.split()[-1]) == pid:
                    return int(status.parent.name)
        raise CommandError(f"the machine has no process {pid}")

    def write(self, path: str, text: str, mode: int = 0o644, owner: str = "root") -> None:
        """Make or replace the file `path`, and the folders above it. Lone surrogates are octets."""
        self.run("install", "-D", "-m", f"{mode:o}", "-o", owner, "-g", owner,
                 "/dev/stdin", path, stdin=text)  # fmt: skip

    def systemctl(self, *arguments: str, check: bool = True) -> str:
        """Run systemctl and return what it printed."""
        return self.run("systemctl", "--no-pager", *arguments, check=check).stdout

    def show(self, unit: str, name: str) -> str:
        """Return one property of a unit, as systemd prints it."""
        return self.systemctl("show", "--value", "--property", name, unit).strip()

    def cursor(self) -> str:
        """Return the place in the journal that `journal` may start after."""
        last = self.run("journalctl", "--quiet", "--no-pager", "-n", "1", "-o", "json").stdout
        return str(json.loads(last)["__CURSOR"])

    def journal(self, after: str) -> list[dict[str, Any]]:
        """Return all entries of the journal after the cursor `after`, the oldest first.

        Nothing is filtered here: with matches, journalctl 252 skips an entry after the cursor.
        """
        self.run("journalctl", "--sync")
        command = ["journalctl", "--quiet", "--no-pager", "--all", "-o", "json"]
        told = self.run(*command, f"--after-cursor={after}").stdout
        return [json.loads(line) for line in told.splitlines()]

    def new_socket(self, family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
        """Return a new stream socket in the machine's network."""
        return self._network.submit(socket.socket, family, socket.SOCK_STREAM).result()

    def connect(
        self, host: str = "127.0.0.1", port: int = 79, timeout: float = ASK_TIMEOUT
    ) -> socket.socket:
        """Return a connection; `host`: an IPv4 or IPv6 address, or the path of a UNIX socket."""
        address: Any
        if host.startswith("/"):
            family, address = socket.AF_UNIX, f"/proc/{self._container.leader}/root{host}"
        else:
            family, address = socket.AF_INET6 if ":" in host else socket.AF_INET, (host, port)
        made = self.new_socket(family)
        try:
            made.settimeout(timeout)
            made.connect(address)
        except BaseException:
            made.close()
            raise
        return made

    def ask(self, query: str | bytes, host: str = "127.0.0.1", port: int = 79) -> bytes:
        """Send `query` and CRLF, keep the connection open, return all octets up to the end."""
        line = query.encode() if isinstance(query, str) else query
        with self.connect(host, port) as connection:
            connection.sendall(line + b"\r\n")
            return read_all(connection)

    def _booted(self) -> bool:
        done = self.run("systemctl", "is-system-running", "--wait", check=False)
        return done.stdout.strip() in ("running", "degraded")

    def _enter_network(self) -> None:
        with open(f"/proc/{self._container.leader}/ns/net") as namespace:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def read_all(connection: socket.socket) -> bytes:
    """Return all octets up to the peer's end; a reset or a silence raises OSError."""
    octets = bytearray()
    while piece := connection.recv(65536):
        octets += piece
    return bytes(octets)
