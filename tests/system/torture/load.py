# SPDX-License-Identifier: MIT
"""Ordinary clients, as a program that runs inside a machine: ask, compare the whole answer, pause.

`python3 load.py JSON`, a Load. It goes on until standard input has ended and what `least` and
`different` ask for has been seen, then prints a Found as JSON. It needs the standard library only,
and asks its own machine, unless `hosts` has others of the test. A thread for each client, so that a
time is that of the calls.
"""

from __future__ import annotations

import json
import os
import random
import re
import socket
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field

PORT = 79
SILENCE = 60.0  # seconds without an octet that count as no answer

RIGHT = "right"
WRONG = "wrong"
REFUSED = "refused"
RESET = "reset"
EMPTY = "empty"  # the end without an answer
LATE = "timed out"


@dataclass
class Load:
    """What is asked, by how many. `questions`: pairs of a query and a regular expression for all of
    its answer; each is asked as often as it is in the list. `together`: all clients ask at once,
    and then all pause at once. `hosts`: addresses that are asked; `sources`: those that ask, of the
    kind of the others, empty for the one that the system takes.
    """

    questions: list[tuple[str, str]]
    clients: int = 64
    pause: tuple[float, float] = (0.0, 0.1)  # seconds between two queries of a client
    together: bool = False
    least: int = 1  # queries
    different: int = 1  # answers
    most: int = 500_000  # queries, and
    seconds: float = 400.0  # time, after which it ends in any case
    hosts: tuple[str, ...] = ("127.0.0.1", "::1")
    sources: tuple[str, ...] = ("",)


@dataclass
class Found:
    """How it went. `failed`: query, outcome, and when it began and ended, in monotonic seconds;
    `took`: seconds that each right answer took.
    """

    asked: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)
    failed: list[tuple[str, str, float, float]] = field(default_factory=list)
    took: list[float] = field(default_factory=list)


class Crowd:
    """The clients, and what they have found so far. `awaited`: standard input has not ended."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.found = Found()
        self.awaited = True
        self._outcomes: Counter[str] = Counter()
        self._answers: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._end = time.monotonic() + load.seconds
        self._random = random.Random(79)
        self._all_here = threading.Barrier(load.clients, self._pause, 2 * SILENCE)
        self._is_over = False

    def run(self) -> Found:
        """Let all clients ask until it is over."""
        clients = [
            threading.Thread(target=self._client, args=(random.Random(number),))
            for number in range(self.load.clients)
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        self.found.outcomes = dict(self._outcomes)
        self.found.answers = dict(self._answers)
        return self.found

    def _client(self, chance: random.Random) -> None:
        if self.load.together:
            self._all_here.wait()
        else:
            time.sleep(chance.uniform(*self.load.pause))
        while not (self._is_over if self.load.together else self._over()):
            self._ask(chance)
            if self.load.together:
                self._all_here.wait()
            else:
                time.sleep(chance.uniform(*self.load.pause))

    def _pause(self) -> None:
        """What happens once between two times that all ask."""
        time.sleep(self._random.uniform(*self.load.pause))
        self._is_over = self._over()

    def _over(self) -> bool:
        asked = self.found.asked
        if asked >= self.load.most or time.monotonic() > self._end:
            return True
        seen = asked >= self.load.least and len(self._answers) >= self.load.different
        return seen and not self.awaited

    def _ask(self, chance: random.Random) -> None:
        query, right = chance.choice(self.load.questions)
        began = time.monotonic()
        host, source = chance.choice(self.load.hosts), chance.choice(self.load.sources)
        outcome, answer = ask(host, query, source)
        ended = time.monotonic()
        if outcome == RIGHT and not re.fullmatch(right, answer):
            outcome = WRONG
        with self._lock:
            self.found.asked += 1
            self._outcomes[outcome] += 1
            if outcome == RIGHT:
                self._answers[answer] += 1
                self.found.took.append(ended - began)
            else:
                told = f"{outcome} {answer!r}" if outcome == WRONG else outcome
                self.found.failed.append((query, told, began, ended))


def ask(host: str, query: str, source: str = "") -> tuple[str, str]:
    """Return the outcome and the answer of one query; RIGHT stands for any answer."""
    octets = bytearray()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as connection:
            connection.settimeout(SILENCE)
            if source:
                connection.bind((source, 0))
            connection.connect((host, PORT))
            connection.sendall(query.encode() + b"\r\n")
            while piece := connection.recv(65536):
                octets += piece
    except ConnectionRefusedError:
        return REFUSED, ""
    except (ConnectionResetError, BrokenPipeError):
        return RESET, ""
    except TimeoutError:
        return LATE, ""
    except OSError as error:
        return str(error), ""
    return (RIGHT, octets.decode("latin-1")) if octets else (EMPTY, "")


def main(argument: str) -> None:
    """Run the Load that `argument` is, and print what was found."""
    crowd = Crowd(Load(**json.loads(argument)))

    def watch() -> None:
        while os.read(0, 4096):
            pass
        crowd.awaited = False

    threading.Thread(target=watch, daemon=True).start()
    print(json.dumps(asdict(crowd.run())))


if __name__ == "__main__":
    main(sys.argv[1])
