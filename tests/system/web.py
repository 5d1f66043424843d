# SPDX-License-Identifier: MIT
"""finger-web on a machine, and who asks it: curl there, and clients that go on asking."""

from __future__ import annotations

import threading
from typing import NamedTuple

from .finger import Finger
from .machine import Machine, read_all

SOCKET, SERVICE = "finger-web.socket", "finger-web.service"
PATH = "/run/fingerd-sd/web"
PACKAGE = "fingerd-sd-web"
EXAMPLES = f"/usr/share/doc/{PACKAGE}/examples"
PAUSE = 0.005  # seconds between two requests of one client


class Got(NamedTuple):
    """A response. `head`: the status line and the headers, as they came."""

    status: int
    head: str
    body: str


def get(machine: Machine, url: str, *options: str) -> Got:
    """Ask for `url` by curl in the machine; a path is asked for at the socket itself."""
    if url.startswith("/"):
        options, url = ("--unix-socket", PATH, *options), f"http://localhost{url}"
    command = ("curl", "--silent", "--show-error", "--include", "--globoff", "--path-as-is")
    told = machine.run(*command, *options, url).stdout
    head, _, body = told.partition("\r\n\r\n")
    return Got(int(head.split()[1]), head, body)


class Client(threading.Thread):
    """Asks `host` for `path` again and again until `enough` is set; keeps what was not answered by
    `body`. An error is a connection that was refused, reset or not answered.
    """

    def __init__(self, finger: Finger, host: str, path: str, body: bytes) -> None:
        super().__init__(daemon=True)
        self._finger, self._host, self._body = finger, host, body
        self._request = f"GET {path} HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n"
        self.enough = threading.Event()
        self.asked = 0
        self.lost: list[object] = []

    def run(self) -> None:
        """Ask and pause."""
        while not self.enough.wait(PAUSE):
            self.asked += 1
            try:
                with self._finger.machine.connect(self._host, 80) as connection:
                    connection.sendall(self._request.encode())
                    told = read_all(connection)
            except OSError as error:
                self.lost.append(error)
                continue
            if not told.startswith(b"HTTP/1.1 200 ") or not told.endswith(self._body):
                self.lost.append(told)
