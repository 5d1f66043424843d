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
from typing import NamedTuple, TypeAlias, TypeVar

from fingerd_sd.directory.answer import Answer
from fingerd_sd.policy.rules import Client

T = TypeVar("T")

# Microseconds. A kept answer takes less than the first; `miss_time` is 0.02 s, `answer_timeout` 30.
BOUNDS = (
    *(100, 500, 1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000),
    *(1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000),
)
MAX_SERIES = 1000  # of queries: more of them come only by a thousand reloads
OTHERS = "others"  # the audience and the source of what comes beyond that

Key: TypeAlias = tuple[str, str, str]  # result, audience, source


class Series:
    """Queries alike. `counts`: for each of BOUNDS those that took at most that and more than the
    bound before; those that took longer come last. `total`: microseconds of all together.
    """

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0


class Counts:
    """What has happened since the start.

    `series`: of queries that were answered. `limited`: queries that were not, by audience.
    `failures`: of sources, as often as the journal has them. `reloaded_at`: when the configuration
    was last read without a mistake, in seconds since the epoch; `reading_took`: seconds, of that or
    of the last try; `mistaken`: whether that try failed.
    """

    def __init__(self) -> None:
        self.series: dict[Key, Series] = {}
        self.limited: dict[str, int] = {}
        self.failures: dict[str, int] = {}
        self.started_at = self.reloaded_at = time.time()
        self.reloads = 0
        self.reloads_failed = 0
        self.mistaken = False
        self.reading_took = 0.0

    def query(self, answer: Answer, client: Client, usec: int) -> None:
        """Count a query that was answered in `usec` microseconds."""
        key = answer.result, client.audience.name, answer.source
        series = self.series.get(key) or self._new(key)
        series.counts[bisect_left(BOUNDS, usec)] += 1
        series.total += usec

    def _new(self, key: Key) -> Series:
        if len(self.series) >= MAX_SERIES:
            key = key[0], OTHERS, OTHERS
        return self.series.setdefault(key, Series())

    def refuse(self, client: Client) -> None:
        """Count a query of a client that asks too often."""
        audience = client.audience.name
        if audience not in self.limited and len(self.limited) >= MAX_SERIES:
            audience = OTHERS
        self.limited[audience] = self.limited.get(audience, 0) + 1

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
