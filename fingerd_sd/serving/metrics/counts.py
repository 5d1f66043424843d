# SPDX-License-Identifier: MIT
"""What is counted for the metrics, beyond what the process counts anyway.

Only a process that was passed the socket of the metrics imports this. Sans-I/O: it knows no HTTP
and nothing of Prometheus.
"""

from __future__ import annotations

import logging
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from fingerd_sd.directory.answer import LIMIT, Answer
from fingerd_sd.policy.rules import Client

T = TypeVar("T")

# Seconds. A kept answer takes less than the first, `miss_time` is 0.02 and `answer_timeout` 30.
BOUNDS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
MAX_SERIES = 1000  # names of audiences and sources: more come only by a thousand reloads
OTHERS = "others"  # the audience and the source of what comes beyond that


class Durations:
    """How long queries took. `counts`: for each of BOUNDS those that took at most that and more
    than the bound before; those that took longer come last. `total`: seconds of all together.
    """

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one query."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


class Counts:
    """What has happened since the start.

    `queries`: by result, audience and source. `durations`: by source, in which limited queries are
    not. `failures`: of sources, as often as the journal has them. `reloaded_at`: when the
    configuration was last read without a mistake, in seconds since the epoch; `reading_took`:
    seconds, of that or of the last try; `mistaken`: whether that try failed.
    """

    def __init__(self) -> None:
        self.queries: dict[tuple[str, str, str], int] = {}
        self.durations: dict[str, Durations] = {}
        self.failures: dict[str, int] = {}
        self.started_at = self.reloaded_at = time.time()
        self.reloads = 0
        self.reloads_failed = 0
        self.mistaken = False
        self.reading_took = 0.0

    def query(self, answer: Answer, client: Client, usec: int) -> None:
        """Count a query that was answered in `usec` microseconds."""
        source = self._count(answer.result, client.audience.name, answer.source)
        durations = self.durations.get(source)
        if durations is None:
            durations = self.durations[source] = Durations()
        durations.add(usec / 1e6)

    def limited(self, client: Client) -> None:
        """Count a query of a client that asks too often."""
        self._count(LIMIT, client.audience.name, "")

    def _count(self, result: str, audience: str, source: str) -> str:
        """Count a query; return the source for which it counts."""
        key = result, audience, source
        count = self.queries.get(key, 0)
        if not count and len(self.queries) >= MAX_SERIES:
            source = OTHERS
            key = result, OTHERS, OTHERS
            count = self.queries.get(key, 0)
        self.queries[key] = count + 1
        return source

    def reading(self, load: Callable[[], T]) -> Callable[[], T]:
        """Return `load`, which reads the configuration anew, with a count of how that went."""

        def counted() -> T:
            began = time.monotonic()
            try:
                loaded = load()
            except Exception:
                self.mistaken = True
                self.reloads_failed += 1
                raise
            finally:
                self.reading_took = time.monotonic() - began
            self.mistaken = False
            self.reloads += 1
            self.reloaded_at = time.time()
            return loaded

        return counted


class Failures(logging.Handler):
    """Counts the sources' failures that are logged; see directory/search.py, log_failure."""

    def __init__(self, counts: Counts) -> None:
        super().__init__(logging.ERROR)
        self._failures = counts.failures

    def emit(self, record: logging.LogRecord) -> None:
        """Count `record` if it is such a failure; logging.Handler.emit."""
        if getattr(record, "event", None) == "SOURCE_FAILED":
            source = getattr(record, "fields", {}).get("FINGER_SOURCE", "")
            if source in self._failures or len(self._failures) < MAX_SERIES:
                self._failures[source] = self._failures.get(source, 0) + 1


class Figures(NamedTuple):
    """All that the metrics show, at one moment. `counts`: what goes on counting, so read it in one
    go. `accepted`: connections since the start. `open`: connections now, of `most`. `paused`: why
    none can be accepted; "" if they can. `kept`: answers, and their octets. `troubles`: by source,
    what is wrong with it; "" where nothing is. `limited`: clients in the last minute. `dropped`:
    log entries.
    """

    counts: Counts
    accepted: int
    open: int
    most: int
    paused: str
    kept: tuple[int, int]
    hits: int
    troubles: Mapping[str, str]
    limited: int
    dropped: int
