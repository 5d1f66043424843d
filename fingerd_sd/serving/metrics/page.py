# SPDX-License-Identifier: MIT
"""The figures as Prometheus reads them: names, types, help, in its text format or OpenMetrics.

Names follow https://prometheus.io/docs/practices/naming/. finger-metrics.socket(5) describes each.
Only this module knows prometheus_client.
"""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from fingerd_sd import __version__
from fingerd_sd.directory.answer import LIMIT
from fingerd_sd.serving.metrics.counts import BOUNDS, Figures, Series


def page(figures: Figures, accept: str) -> tuple[str, bytes]:
    """Return the media type and the octets of the page. `accept`: what the client can read."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(figures))
    encode, kind = choose_encoder(accept)
    return kind, encode(registry)


class _Figures(Collector):
    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics; prometheus_client's Collector."""
        yield from _queries(self._figures)
        yield from _state(self._figures)
        yield from _sources(self._figures)
        yield from _configuration(self._figures)
        yield from _process(self._figures)


def _queries(figures: Figures) -> Iterator[Metric]:
    queries = CounterMetricFamily(
        "fingerd_queries",
        "Queries since the start, by result, audience and source.",
        labels=("result", "audience", "source"),
    )
    durations: dict[str, list[Series]] = {}
    for labels, series in tuple(figures.counts.series.items()):
        queries.add_metric(labels, sum(series.counts))
        durations.setdefault(labels[2], []).append(series)
    for audience, count in tuple(figures.counts.limited.items()):
        queries.add_metric((LIMIT, audience, ""), count)
    yield queries
    histogram = HistogramMetricFamily(
        "fingerd_query_duration_seconds",
        "Time from the whole query line to the last octet of the answer, by source.",
        labels=("source",),
    )
    for source, all_of_it in durations.items():
        seconds = sum(series.total for series in all_of_it) / 1e6
        histogram.add_metric((source,), _buckets(all_of_it), seconds)
    yield histogram


def _buckets(all_of_it: Sequence[Series]) -> list[tuple[str, float]]:
    """Return how many took at most so many seconds, as prometheus_client takes it."""
    bounds = (*(str(usec / 1e6) for usec in BOUNDS), "+Inf")
    counts = map(sum, zip(*(tuple(series.counts) for series in all_of_it), strict=True))
    return list(zip(bounds, accumulate(map(float, counts)), strict=True))


def _state(figures: Figures) -> Iterator[Metric]:
    yield _counter(
        "fingerd_connections", "Connections that were accepted since the start.", figures.accepted
    )
    yield _gauge("fingerd_open_connections", "Connections that are open.", figures.open)
    yield _gauge("fingerd_max_connections", "Connections that may be open at once.", figures.most)
    yield _gauge(
        "fingerd_accepting",
        "Whether connections are accepted: 0 while descriptors or connections have run out.",
        not figures.paused,
    )
    answers, octets = figures.kept
    yield _gauge("fingerd_kept_answers", "Answers that are kept.", answers)
    yield _gauge("fingerd_kept_answers_bytes", "Octets that kept answers take.", octets)
    yield _counter(
        "fingerd_kept_answer_hits", "Queries that a kept answer has answered.", figures.hits
    )
    yield _gauge(
        "fingerd_limited_clients",
        "Clients that asked too often in the last minute; beyond 100, the others count as one.",
        figures.limited,
    )
    yield _counter(
        "fingerd_log_entries_dropped", "Log entries that journald did not take.", figures.dropped
    )


def _sources(figures: Figures) -> Iterator[Metric]:
    failing = GaugeMetricFamily(
        "fingerd_source_failing",
        "Whether the source says of itself that it fails.",
        labels=("source",),
    )
    failures = CounterMetricFamily(
        "fingerd_source_failures",
        "Failures of the source that were logged since the start.",
        labels=("source",),
    )
    counted = dict(figures.counts.failures)
    for source, trouble in figures.troubles.items():
        failing.add_metric((source,), bool(trouble))
        failures.add_metric((source,), counted.pop(source, 0))
    for source, count in counted.items():  # of a configuration before this one
        failures.add_metric((source,), count)
    yield failing
    yield failures


def _configuration(figures: Figures) -> Iterator[Metric]:
    counts = figures.counts
    yield _gauge(
        "fingerd_config_last_reload_successful",
        "Whether the configuration could be used when it was last read.",
        not counts.mistaken,
    )
    yield _gauge(
        "fingerd_config_last_reload_success_timestamp_seconds",
        "When the configuration in use was read, in seconds since the epoch.",
        counts.reloaded_at,
    )
    yield _gauge(
        "fingerd_config_last_reload_duration_seconds",
        "How long the last reload took; 0 before the first.",
        counts.reading_took,
    )
    reloads = CounterMetricFamily(
        "fingerd_config_reloads", "Reloads since the start, by result.", labels=("result",)
    )
    reloads.add_metric(("success",), counts.reloads)
    reloads.add_metric(("failure",), counts.reloads_failed)
    yield reloads


def _process(figures: Figures) -> Iterator[Metric]:
    """Yield what all programs have by these names. prometheus_client's own collector has nothing
    where ProcSubset=pid hides /proc/stat.
    """
    yield InfoMetricFamily(
        "fingerd_build",
        "The version of the server and of its Python.",
        {"version": __version__, "python": platform.python_version()},
    )
    yield _gauge(
        "process_start_time_seconds",
        "When the process started, in seconds since the epoch.",
        figures.counts.started_at,
    )
    yield _counter(
        "process_cpu_seconds", "Processor time since the start, in seconds.", time.process_time()
    )
    with open("/proc/self/statm", encoding="ascii") as statm:
        pages = int(statm.read().split()[1])
    yield _gauge("process_resident_memory_bytes", "Memory in use.", pages * resource.getpagesize())
    yield _gauge("process_open_fds", "Open descriptors.", len(os.listdir("/proc/self/fd")))
    yield _gauge(
        "process_max_fds",
        "Descriptors that may be open.",
        resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=float(value))
