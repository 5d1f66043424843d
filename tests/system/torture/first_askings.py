# SPDX-License-Identifier: MIT
"""Asks for each of many names once, as a program that runs inside a machine, and takes the times.

`python3 first_askings.py JSON`, an Askings. It starts `pace` askings a second, in random order, and
does not wait for one answer before the next question: so the load is the same however long an
answer is kept back. It prints JSON: for each kind the nanoseconds from the query's sending to the
answer's first octet, and how many answers were wrong or did not come. It needs the standard library
only, and asks nobody but its own machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import selectors
import socket
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

PORT = 79
SILENCE = 60.0  # seconds without any answer that end it


@dataclass
class Askings:
    """Who asks whom for what. `names`: by kind; `sources`: the client's addresses, in turn;
    `pace`: askings a second; `most`: connections open at once; `processor`: that it runs on.
    """

    host: str
    sources: list[str]
    names: dict[str, list[str]]
    answer: str
    pace: float
    most: int
    processor: int


@dataclass
class Crowd:
    """The clients that are under way, and what was seen."""

    askings: Askings
    times: dict[str, list[int]] = field(default_factory=dict)
    wrong: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._selector = selectors.EpollSelector()
        self._open = 0
        self._heard = time.monotonic()
        self.times = {kind: [] for kind in self.askings.names}

    def run(self) -> None:
        """Ask for all names, each once; return when all are answered."""
        order = [(kind, name) for kind, names in self.askings.names.items() for name in names]
        random.shuffle(order)
        due = time.monotonic()
        while order or self._open:
            now = time.monotonic()
            if now - self._heard > SILENCE:
                self.wrong["no answer"] += self._open + len(order)
                return
            if order and now >= due and self._open < self.askings.most:
                self._ask(len(order), *order.pop())
                due = max(due, now - 0.01) + random.expovariate(self.askings.pace)
                continue
            self._listen(max(0.0, due - now) if order else 1.0)

    def _ask(self, number: int, kind: str, name: str) -> None:
        sources = self.askings.sources
        client = socket.socket(socket.AF_INET)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.bind((sources[number % len(sources)], 0))
        client.connect((self.askings.host, PORT))
        client.setblocking(False)
        self._selector.register(client, selectors.EVENT_READ, (kind, time.perf_counter_ns()))
        client.sendall(name.encode() + b"\r\n")
        self._open += 1

    def _listen(self, seconds: float) -> None:
        for key, _ in self._selector.select(min(seconds, 1.0)):
            ended = time.perf_counter_ns()
            client, (kind, began) = key.fileobj, key.data
            assert isinstance(client, socket.socket)
            told = b""
            with contextlib.suppress(ConnectionResetError):
                told = client.recv(4096)
            self._selector.unregister(client)
            client.close()
            self._open -= 1
            self._heard = time.monotonic()
            if told == self.askings.answer.encode():
                self.times[kind].append(ended - began)
            else:
                self.wrong[told.decode("latin-1")] += 1


def main(argument: str) -> None:
    """Run the Askings that `argument` is, and print what was seen."""
    crowd = Crowd(Askings(**json.loads(argument)))
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, {crowd.askings.processor})
    crowd.run()
    print(json.dumps({"times": crowd.times, "wrong": crowd.wrong}))


if __name__ == "__main__":
    main(sys.stdin.read() if sys.argv[1:] == ["-"] else sys.argv[1])
