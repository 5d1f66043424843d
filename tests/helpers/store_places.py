# SPDX-License-Identifier: MIT
"""What is around a real store: ports of loopback, certificates, Sentinels, a disk that is full."""

from __future__ import annotations

import resource
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .store import Running, program

MASTER = "fingers"
SENTINEL = """
port {port}
bind 127.0.0.1
dir {folder}
sentinel monitor {master} 127.0.0.1 {of} 1
sentinel down-after-milliseconds {master} 300
sentinel failover-timeout {master} 2000
"""


def free_port() -> int:
    """Return a port of loopback that nobody has."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def talk(port: int, line: str) -> bytes:
    """Send a command to a server of loopback, and return what it says; b"": it is not there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as asking:
            asking.sendall(line.encode() + b"\r\n")
            return asking.recv(65536)
    except OSError:
        return b""


@contextmanager
def sentinel(folder: Path, of: int, *more: str) -> Iterator[int]:
    """A Sentinel that watches the server at the port `of`, called MASTER; yield its own port.
    `more`: lines of its configuration.
    """
    port = free_port()
    config = folder / "sentinel.conf"
    text = SENTINEL.format(port=port, folder=folder, of=of, master=MASTER)
    config.write_text("\n".join((text, *more, "")))
    process = subprocess.Popen(
        ["redis-sentinel", str(config)], executable=program(), stdout=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + 60
        while not talk(port, "PING").startswith(b"+PONG"):
            assert time.monotonic() < end, "Sentinel does not start"
            time.sleep(0.02)
        yield port
    finally:
        process.kill()
        process.wait()


def certify(folder: Path, name: str) -> Path:
    """Make in `folder` an authority, ca.pem, and what it signs for `name`, store.pem and store.key;
    return the authority's file.
    """
    folder.mkdir()

    def openssl(*words: str) -> None:
        subprocess.run(("openssl", *words), cwd=folder, check=True, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc")
    # Python 3.13 wants an authority to say what its key is for, and a certificate whose it is.
    constraints = ("-addext", "basicConstraints=critical,CA:TRUE")
    authority = (*constraints, "-addext", "keyUsage=critical,keyCertSign")
    openssl(
        *("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2"),
        *("-subj", "/CN=authority", *authority),
    )
    openssl(
        "req", "-new", *curve, "-keyout", "store.key", "-out", "store.csr", "-subj", "/CN=store"
    )
    (folder / "names").write_text(f"subjectAltName={name}\nauthorityKeyIdentifier=keyid\n")
    openssl(
        *("x509", "-req", "-in", "store.csr", "-CA", "ca.pem", "-CAkey", "ca.key"),
        *("-out", "store.pem", "-days", "2", "-extfile", "names"),
    )
    return folder / "ca.pem"


def fill_disk(running: Running) -> None:
    """Have each write of `running` fail from now on, as on a disk that is full."""
    resource.prlimit(running.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))


def empty_disk(running: Running) -> None:
    """Undo that."""
    most = resource.RLIM_INFINITY
    resource.prlimit(running.pid, resource.RLIMIT_FSIZE, (most, most))
