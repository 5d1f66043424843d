# SPDX-License-Identifier: MIT
"""A real process that was passed the socket for balancers beside that of finger."""

from __future__ import annotations

import socket
from pathlib import Path

from ..helpers import needs
from .process import PATIENCE, ask, configured, everything, listener, serving

CONFIG = """
[[audience]]
name = "inside"
networks = ["192.0.2.0/24"]
show = ["name", "office"]

[[source]]
type = "static"
users.alice = { name = "Alice", office = "Hill 016", plan = "x" }
"""
NAMES = "proxy:finger:metrics"
HEADER = b"PROXY TCP4 192.0.2.7 198.51.100.1 51234 79\r\n"
INSIDE = b"Login: alice          \t\t\tName: Alice\r\nOffice: Hill 016\r\n"
OUTSIDE = b"Login: alice          \t\t\tName: Alice\r\nPlan:\r\nx\r\n"


def relayed(sock: socket.socket, octets: bytes) -> bytes:
    """Return the answer to `octets`, header and line."""
    with socket.create_connection(sock.getsockname()) as client:
        client.settimeout(PATIENCE)
        client.sendall(octets)
        return everything(client)


def test_the_client_is_whom_the_balancer_names_and_on_finger_nobody_is_believed(
    tmp_path: Path,
) -> None:
    needs.modules("systemd")
    config = configured(tmp_path, CONFIG)
    with (
        listener() as finger,
        listener() as proxy,
        listener() as metrics,
        socket.create_connection(proxy.getsockname()) as early,
        serving(
            [proxy, finger, metrics], tmp_path, "--config", config, names="proxy:finger:metrics"
        ) as running,
    ):
        early.settimeout(PATIENCE)
        early.sendall(HEADER + b"alice\r\n")
        assert everything(early) == INSIDE
        assert relayed(proxy, HEADER + b"alice@198.51.100.1\r\n") == INSIDE
        assert relayed(proxy, b"PROXY UNKNOWN\r\nalice\r\n") == OUTSIDE
        assert ask(finger, b"alice\r\n") == OUTSIDE
        assert ask(finger, HEADER + b"alice\r\n") == b"No such user\r\n"
        assert relayed(proxy, b"alice\r\n") == b""
        assert running.stop() == 0
        said = running.stderr()
    assert "alice from 192.0.2.7: found" in said
    assert "alice@198.51.100.1 from 192.0.2.7: found" in said
    assert "A connection from 127.0.0.1 to the socket for balancers is closed" in said


def test_the_socket_for_balancers_alone_is_enough(tmp_path: Path) -> None:
    needs.modules("systemd")
    config = configured(tmp_path, CONFIG)
    with (
        listener() as proxy,
        serving([proxy], tmp_path, "--config", config, names="proxy") as running,
    ):
        assert relayed(proxy, HEADER + b"alice\r\n") == INSIDE
        assert running.stop() == 0
