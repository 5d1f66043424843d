# SPDX-License-Identifier: MIT
"""The page that Prometheus scrapes, read back by readers that nobody here wrote."""

from __future__ import annotations

import os
import subprocess
import time
from typing import Any

import pytest

from fingerd_sd.serving.metrics.counts import Counts

from ...helpers import needs
from .figures import CLIENT, HAPPY, figures

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"


@pytest.fixture(autouse=True)
def _is_there() -> None:
    needs.modules("prometheus_client")


def counts() -> Counts:
    counted = Counts()
    for usec in (50, 100, 700, 40_000_000):
        counted.query(HAPPY, CLIENT, usec)
    counted.query(HAPPY._replace(result="absent", source=""), CLIENT, 20_000)
    counted.refuse(CLIENT)
    counted.failures.update(web=2, gone=1)
    counted.reloads_failed = 1
    counted.mistaken = True
    counted.reloaded_at = 1_800_000_000.5
    return counted


def samples(accept: str = "") -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return all samples by name and labels, as prometheus_client reads them."""
    from prometheus_client import parser
    from prometheus_client.openmetrics import parser as openmetrics

    from fingerd_sd.serving.metrics.page import page

    read = openmetrics if accept == OPENMETRICS else parser
    shown = figures(counts())._replace(troubles={"static": "", "web": "down"})
    kind, octets = page(shown, accept)
    assert ("openmetrics" in kind) is (accept == OPENMETRICS)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in read.text_string_to_metric_families(octets.decode())
        for sample in family.samples
    }


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_says_what_was_counted(accept: str) -> None:
    found = samples(accept)

    def of(name: str, **labels: str) -> float:
        return found[name, tuple(sorted(labels.items()))]

    guests = {"audience": "guests"}
    assert of("fingerd_queries_total", result="found", source="static", **guests) == 4
    assert of("fingerd_queries_total", result="absent", source="", **guests) == 1
    assert of("fingerd_queries_total", result="limited", source="", **guests) == 1
    duration = "fingerd_query_duration_seconds"
    for bound, count in {"0.0001": 2, "0.0005": 2, "0.001": 3, "30.0": 3, "+Inf": 4}.items():
        assert of(f"{duration}_bucket", source="static", le=bound) == count
    assert of(f"{duration}_count", source="static") == 4
    assert of(f"{duration}_sum", source="static") == pytest.approx(40.00085)
    assert of(f"{duration}_bucket", source="", le="0.025") == 1
    assert of("fingerd_connections_total") == 7
    assert of("fingerd_open_connections") == 2
    assert of("fingerd_max_connections") == 4096
    assert of("fingerd_accepting") == 1
    assert of("fingerd_kept_answers") == 3
    assert of("fingerd_kept_answers_bytes") == 1700
    assert of("fingerd_kept_answer_hits_total") == 5
    assert of("fingerd_limited_clients") == 1
    assert of("fingerd_log_entries_dropped_total") == 4
    assert of("fingerd_source_failing", source="web") == 1
    assert of("fingerd_source_failing", source="static") == 0
    assert of("fingerd_source_failures_total", source="web") == 2
    assert of("fingerd_source_failures_total", source="static") == 0
    assert of("fingerd_source_failures_total", source="gone") == 1
    assert of("fingerd_config_last_reload_successful") == 0
    assert of("fingerd_config_last_reload_success_timestamp_seconds") == 1_800_000_000.5
    assert of("fingerd_config_reloads_total", result="failure") == 1
    assert of("fingerd_config_reloads_total", result="success") == 0
    assert 0 < of("process_start_time_seconds") <= time.time()
    assert of("process_cpu_seconds_total") > 0
    assert of("process_resident_memory_bytes") > 1 << 20
    assert of("process_open_fds") <= of("process_max_fds")
    assert [name for name, _ in found].count("fingerd_build_info") == 1


def test_a_name_of_an_audience_may_have_any_character() -> None:
    from prometheus_client import parser

    from fingerd_sd.serving.metrics.page import page

    read: Any = parser  # the function in it has no types
    name = 'a "b" \\ {c} ż\u2028'
    counted = Counts()
    counted.query(HAPPY, CLIENT._replace(audience=CLIENT.audience._replace(name=name)), 1)
    families = read.text_string_to_metric_families(page(figures(counted), "")[1].decode())
    found = [s.labels["audience"] for f in families for s in f.samples if "audience" in s.labels]
    assert found == [name]


def test_promtool_has_no_objection() -> None:
    """It checks names, types, units and help by the conventions of Prometheus."""
    needs.programs("promtool")
    from fingerd_sd.serving.metrics.page import page

    done = subprocess.run(
        ["promtool", "check", "metrics"],
        check=False,
        input=page(figures(counts()), "")[1],
        capture_output=True,
        env={"PATH": os.environ["PATH"]},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
