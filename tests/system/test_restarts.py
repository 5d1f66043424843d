# SPDX-License-Identifier: MIT
"""Ends and starts of the process under steady queries, of which none may be lost.

As many as it takes to see what they are for: a process that ends without a drain, or that counts
a connection a turn of the loop too late. `make torture` has the large counts, with more clients.
"""

from __future__ import annotations

import random
import threading
import time

import pytest

from . import project
from .finger import PROMPT, SERVICE, Finger
from .machine import read_all

IDLE = 0.05  # seconds
CONFIGURATION = f'[server]\nidle_exit = {IDLE}\nlog_queries = false\n[[source]]\ntype = "probe"\n'
EXITS = RESTARTS = 40
CLIENTS = 2


class Client(threading.Thread):
    """Asks again and again until `enough` is set; keeps what was not answered right.

    `pause`: seconds between two queries, about. `halts`: whether also to pause within each line,
    so that most ends of the process meet a connection that is open. `seeks`: whether to ask later
    after the same process has answered and sooner after a new one, so that on any machine, however
    busy, queries meet the very moment of an exit.
    """

    def __init__(
        self,
        finger: Finger,
        enough: threading.Event,
        seed: int,
        pause: float,
        halts: bool = False,
        seeks: bool = False,
    ) -> None:
        super().__init__(daemon=True)
        self._finger, self._enough, self._random = finger, enough, random.Random(seed)
        self._pause, self._halts, self._seeks = pause, halts, seeks
        self.asked = 0
        self.processes: list[int] = []
        self.lost: list[str] = []

    def run(self) -> None:
        """Ask and pause."""
        while not self._enough.wait(self._random.uniform(0.95, 1.05) * self._pause):
            self.asked += 1
            try:
                process = int(self._ask(self._random.choice(("127.0.0.1", "::1"))))
            except (OSError, ValueError) as error:
                self.lost.append(repr(error))
                continue
            is_new = not self.processes or self.processes[-1] != process
            if is_new:
                self.processes.append(process)
            if self._seeks:
                self._pause *= 0.97 if is_new else 1.03

    def _ask(self, address: str) -> bytes:
        with self._finger.machine.connect(address) as connection:
            connection.sendall(b"pi")
            if self._halts:
                time.sleep(self._pause)
            connection.sendall(b"d\r\n")
            return read_all(connection)


@pytest.fixture
def restless(finger: Finger) -> Finger:
    """The service that exits after a twentieth of a second, with no start limit."""
    project.install_probe(finger.machine)
    finger.configure(CONFIGURATION)
    finger.drop_in(PROMPT)
    finger.listen()
    return finger


def test_idle_exits_lose_no_query(restless: Finger) -> None:
    enough = threading.Event()
    client = Client(restless, enough, seed=79, pause=IDLE, seeks=True)
    client.start()
    while len(client.processes) <= EXITS and client.asked < 20 * EXITS and not client.lost:
        client.join(0.1)
    enough.set()
    client.join()
    print(f"{len(client.processes)} processes, {client.asked} queries")
    assert client.lost == []
    assert len(client.processes) > EXITS


def test_restarts_lose_no_query(restless: Finger) -> None:
    enough = threading.Event()
    clients = [Client(restless, enough, seed, pause=0.01, halts=True) for seed in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        for number in range(RESTARTS):
            restless.machine.systemctl("restart", SERVICE)
            if any(client.lost for client in clients):
                print(f"lost at restart {number + 1}")
                break
    finally:
        enough.set()
        for client in clients:
            client.join()
    assert [client.lost for client in clients] == [[]] * CLIENTS
    assert all(len(client.processes) > 1 for client in clients)
