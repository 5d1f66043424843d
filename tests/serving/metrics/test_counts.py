# SPDX-License-Identifier: MIT
"""What is counted of queries, of reloads, of failing sources, and of kept answers."""

from __future__ import annotations

import logging
import time

import pytest

from fingerd_sd.config.mistakes import ConfigError
from fingerd_sd.directory.lookup import Directory
from fingerd_sd.directory.ruip import Begun
from fingerd_sd.directory.search import log_failure
from fingerd_sd.directory.source import Mounted, SourceError
from fingerd_sd.policy.audience import Audience
from fingerd_sd.policy.rules import Policy
from fingerd_sd.protocol.entry import Text
from fingerd_sd.serving.metrics import counts as module
from fingerd_sd.serving.metrics.counts import BOUNDS, OTHERS, Counts, Failures
from fingerd_sd.serving.metrics.kept import CountingRuip

from ...helpers.houses import Told, networks, static
from .figures import CLIENT, HAPPY


def test_counts_by_result_audience_and_source() -> None:
    counts = Counts()
    for answer in (HAPPY, HAPPY, HAPPY._replace(result="absent", source="")):
        counts.query(answer, CLIENT, 1)
    counts.refuse(CLIENT)
    assert {key: sum(series.counts) for key, series in counts.series.items()} == {
        ("found", "guests", "static"): 2,
        ("absent", "guests", ""): 1,
    }
    assert counts.limited == {"guests": 1}


def test_a_duration_that_is_a_bound_is_within_it() -> None:
    counts = Counts()
    for usec in (0, 100, 101, 30_000_000, 30_000_001):
        counts.query(HAPPY, CLIENT, usec)
    (series,) = counts.series.values()
    assert series.counts == [2, 1, *[0] * (len(BOUNDS) - 3), 1, 1]
    assert series.total == 60_000_202


def test_names_that_change_with_every_reload_take_bounded_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_SERIES", 3)
    counts = Counts()
    for number in range(10):
        counts.query(HAPPY._replace(source=f"static-{number}"), CLIENT, 1)
        counts.refuse(CLIENT._replace(audience=CLIENT.audience._replace(name=str(number))))
    assert sum(counts.series["found", OTHERS, OTHERS].counts) == 7
    assert counts.limited[OTHERS] == 7
    assert len(counts.series) == len(counts.limited) == 4


def test_a_reload_that_fails_is_counted_and_the_next_good_one_mends_it() -> None:
    says: list[ConfigError | str] = ["new", ConfigError([]), "newer"]

    def load() -> str:
        said = says.pop(0)
        if isinstance(said, ConfigError):
            raise said
        return said

    counts = Counts()
    counts.reloaded_at = 0
    counted = counts.reading(load)
    assert counted() == "new"
    assert not counts.mistaken
    at = counts.reloaded_at
    assert at > 0
    with pytest.raises(ConfigError):
        counted()
    assert counts.mistaken
    assert counts.reloaded_at == at
    assert counted() == "newer"
    assert (counts.mistaken, counts.reloads, counts.reloads_failed) == (False, 2, 1)


def test_counts_failures_of_sources_that_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    counts = Counts()
    handler = Failures(counts)
    logging.getLogger().addHandler(handler)
    try:
        log_failure(Told(name="coffee"), SourceError("no answer"))
        log_failure(Told(name="coffee"), ValueError())
        log_failure(Told(name="coffee"), SourceError("no answer", told=True))
        logging.getLogger().error("something else")
        logging.getLogger().error("another event", extra={"event": "CONFIG_ERROR"})
    finally:
        logging.getLogger().removeHandler(handler)
    assert counts.failures == {"coffee": 2}


def test_counts_the_kept_answers_that_were_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CountingRuip, "_hits", [0])
    audience = Audience("few", networks("192.0.2.0/24"), frozenset({"name"}), rate=2)
    house = CountingRuip(
        Policy([audience]),
        Directory([Mounted(static({"moshez": Text("Happy")}))]),
        time.monotonic,
    )
    few, many = house.policy.client("192.0.2.1"), house.policy.client("127.0.0.1")
    line, now = b"moshez\r\n", time.monotonic()
    assert house.kept == (0, 0)
    for client in (many, few):
        assert house.ready(line, client, now) is None
        assert not isinstance(house.begin(line, client, now), Begun)
    answers, octets = house.kept
    assert answers == 2
    assert octets > 0
    assert house.hits == 0
    assert [house.ready(line, many, now) is not None for _ in range(3)] == [True] * 3
    assert [getattr(house.ready(line, few, now), "result", "") for _ in range(2)] == [
        "found",
        "limited",
    ]
    assert house.hits == 4
