# SPDX-License-Identifier: MIT
"""What finger's clients notice while the web has all the requests that it can take.

Two processes, as two units are: one serves finger, one the web, on the same machine. Clients ask
finger at a steady pace, and the web is asked without a pause, on the other core and on finger's
own; beside that a loop that does nothing but take finger's core. Prints a Markdown table.

    python3 -m tests.bench.beside
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from . import pages, peers
from .load import Sample, measure
from .process import LOAD_CORE, SERVER_CORE, Server, other_work

CLIENTS, WAIT = 32, 10  # each asks finger WAIT ms after it has connected, which is no latency
PEOPLE = 100  # pages that the web is asked for
TITLES = (
    *("beside finger", "finger: processor, µs", "median, ms", "p99, ms"),
    *("finger: queries a second", "web: requests a second", "web: of a core"),
)


class Web(NamedTuple):
    """The web under load: requests that were answered, and the share of a core that it had."""

    per_second: float = 0.0
    busy: float = 0.0


@contextmanager
def asked_for_all_it_can(web: pages.Running) -> Iterator[Callable[[], Web]]:
    """Ask `web` without a pause; what is yielded tells how it went since then."""
    load = pages.Load(web.port)
    enough = threading.Event()
    answered = 0

    def ask() -> None:
        nonlocal answered
        while not enough.is_set():
            load.run(pages.CONNECTIONS, lambda number: f"/~u{number % PEOPLE:07d}")
            answered += pages.CONNECTIONS

    asking = threading.Thread(target=ask)
    load.ask("/~u0000000")
    begun, before = time.monotonic(), web.cpu_us()
    asking.start()

    def told() -> Web:
        took = time.monotonic() - begun
        return Web(answered / took, (web.cpu_us() - before) / took / 1e6)

    try:
        yield told
    finally:
        enough.set()
        asking.join()
        load.close()


def web_server(folder: Path, core: int) -> tuple[tuple[str, ...], int]:
    """Return the command that serves PEOPLE pages, and the core that it is to have."""
    logins = (f"u{number:07d}" for number in range(PEOPLE))
    (folder / "users.toml").write_text(
        "".join(pages.PERSON.format(login=login) for login in logins)
    )
    config = folder / "web.toml"
    config.write_text(pages.CONFIGURATION.format(log="false"))
    return (sys.executable, "-m", "fingerd_sd", "serve", "--config", str(config)), core


def rounds(number: int, count: int) -> dict[str, list[tuple[Sample, Web]]]:
    """Return what was measured, by what there was beside finger; a sample for each round."""
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        conf = peers.config(folder / "finger", False)
        finger = stack.enter_context(Server(peers.ours("finger", "", conf)))
        there, here = (
            stack.enter_context(pages.server(*web_server(folder, core)))
            for core in (LOAD_CORE, SERVER_CORE)
        )

        def of_finger() -> Sample:
            return measure(finger, CLIENTS, count, mode="late", wait=WAIT)

        def beside(web: pages.Running) -> tuple[Sample, Web]:
            with asked_for_all_it_can(web) as told:
                return of_finger(), told()

        def beside_a_loop() -> tuple[Sample, Web]:
            with other_work():
                return of_finger(), Web()

        of_finger()
        kinds: dict[str, Callable[[], tuple[Sample, Web]]] = {
            "nothing": lambda: (of_finger(), Web()),
            "the web, on the other core": lambda: beside(there),
            "the web, on the same core": lambda: beside(here),
            "an endless loop, on the same core": beside_a_loop,
        }
        found: dict[str, list[tuple[Sample, Web]]] = {kind: [] for kind in kinds}
        for _ in range(number):
            for kind, run in kinds.items():
                found[kind].append(run())
    return found


def _latency(values: list[float]) -> str:
    """Return the median of the rounds and the least, in ms."""
    told = (f"{value / 1e3 - WAIT:.1f}" for value in (median(values), min(values)))
    return " · ".join(told)


def main() -> None:
    """Measure, and print the medians of the rounds; of latencies the least round too."""
    parser = argparse.ArgumentParser(prog="tests.bench.beside", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--count", type=int, default=6000, help="queries to finger in each")
    asked = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CORE})
    found = rounds(asked.rounds, asked.count)
    print(f"| {' | '.join(TITLES)} |")
    print(f"|---|{'--:|' * (len(TITLES) - 1)}")
    for kind, results in found.items():
        samples, webs = [sample for sample, _ in results], [web for _, web in results]
        assert not any(sample.bad for sample in samples), kind
        figures = (
            f"{median(sample.cpu_us for sample in samples):.1f}",
            _latency([sample.p50_us for sample in samples]),
            _latency([sample.p99_us for sample in samples]),
            f"{median(sample.per_second for sample in samples):,.0f}",
            f"{median(web.per_second for web in webs):,.0f}",
            f"{median(web.busy for web in webs):.2f}",
        )
        print(f"| {kind} | {' | '.join(figures)} |")


if __name__ == "__main__":
    main()
