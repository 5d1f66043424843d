# SPDX-License-Identifier: MIT
"""What the log is told of limited queries, and how often."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerd_sd.policy import notices as limited
from fingerd_sd.policy.audience import Audience
from fingerd_sd.policy.notices import EVERY, MAX_SINGLE, Notice, Notices
from fingerd_sd.policy.rules import Client, Policy

from ..helpers.houses import networks

POLICY = Policy([])


def client(number: int) -> Client:
    return POLICY.client(f"192.0.{number >> 8}.{number & 255}")


def test_the_first_is_told_at_once_and_the_others_every_minute_with_their_count() -> None:
    notices = Notices()
    assert notices.due_at is None
    assert notices.count(client(1), 100.0) == Notice("192.0.0.1", "everyone", 1, first=True)
    assert [notices.count(client(1), 101.0) for _ in range(1234)] == [None] * 1234
    assert notices.due_at == 160.0
    assert notices.due(159.0) == []
    [told] = notices.due(160.0)
    assert told == Notice("192.0.0.1", "everyone", 1234, first=False)
    assert notices.count(client(1), 170.0) is None
    assert [notice.queries for notice in notices.due(220.0)] == [1]


def test_what_an_administrator_reads() -> None:
    first, more = Notice("192.0.2.7", "everyone", 1, True), Notice("192.0.2.7", "x", 1234, False)
    assert str(first) == "Too many queries from 192.0.2.7: 1 refused"
    assert str(more) == "Too many queries from 192.0.2.7: 1,234 more refused"


def test_who_was_quiet_for_a_minute_is_forgotten_and_told_of_at_once_again() -> None:
    notices = Notices()
    notices.count(client(1), 0.0)
    assert notices.due(60.0) == []
    assert notices.due_at is None
    again = notices.count(client(1), 61.0)
    assert again is not None
    assert again.first


def test_what_is_left_is_told_at_the_end() -> None:
    notices = Notices()
    for _ in range(3):
        notices.count(client(1), 0.0)
    notices.count(client(2), 0.0)
    assert notices.rest() == [Notice("192.0.0.1", "everyone", 2, first=False)]
    assert notices.rest() == []
    assert notices.due_at is None


@pytest.mark.parametrize(
    ("how", "one", "other", "told"),
    [
        ("full", "192.0.2.1", "192.0.2.1", "192.0.2.1"),
        ("full", "2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:1::/64"),
        ("full", "", "", "local"),
        ("prefix", "192.0.2.1", "192.0.2.2", "192.0.2.0/24"),
        ("prefix", "2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8::/48"),
        ("prefix", "", "", "local"),
        ("none", "192.0.2.1", "2001:db8::1", "-"),
        ("none", "", "192.0.2.1", "-"),
    ],
)
def test_the_log_gets_no_more_of_an_address_than_it_may(
    how: str, one: str, other: str, told: str
) -> None:
    """And has one entry for those that it cannot tell from each other."""
    policy, notices = Policy([], how), Notices()
    first = notices.count(policy.client(one), 0.0)
    assert first is not None
    assert first.client == told
    assert notices.count(policy.client(other), 0.0) is None


def test_one_client_in_two_audiences_is_told_of_in_each() -> None:
    """As after a reload that changes the audiences."""
    notices = Notices()
    for name in ("inside", "outside"):
        policy = Policy([Audience(name, networks("192.0.2.0/24"))])
        notice = notices.count(policy.client("192.0.2.1"), 0.0)
        assert notice is not None
        assert notice.audience == name


def test_a_hundred_thousand_clients_are_a_hundred_entries_and_one_for_the_others() -> None:
    notices = Notices()
    told = [notices.count(client(number % 50_000), 0.0) for number in range(100_000)]
    first = [notice for notice in told if notice is not None]
    assert len(first) == MAX_SINGLE + 1
    assert (first[-1].client, first[-1].audience) == ("others", "")
    later = notices.due(EVERY)
    assert len(later) == MAX_SINGLE + 1
    assert len(notices._tallies) <= MAX_SINGLE + 1
    assert sum(notice.queries for notice in first + later) == 100_000


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 6)), max_size=80))
def test_every_query_is_told_once_and_no_client_twice_in_a_minute(
    queries: list[tuple[int, int]],
) -> None:
    """The timer comes when it is due, as the service's does."""
    notices, now = Notices(), 0
    told: list[tuple[float, Notice]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limited, "MAX_SINGLE", 3)
        for waits, number in queries:
            now += waits
            while (due := notices.due_at) is not None and due <= now:
                told += [(due, notice) for notice in notices.due(due)]
            notice = notices.count(client(number), now)
            told += [(now, notice)] if notice else []
            assert len(notices._tallies) <= 4
    times: dict[str, list[float]] = {}
    for at, notice in told:
        times.setdefault(notice.client, []).append(at)
    assert all(b - a >= EVERY for all_ in times.values() for a, b in pairwise(all_))
    at_all = sorted(at for at, _ in told)
    assert all(b - a >= EVERY for a, b in zip(at_all, at_all[4:], strict=False))
    counts: Counter[str] = Counter()
    for notice in [notice for _, notice in told] + notices.rest():
        counts[notice.client] += notice.queries
    assert counts.total() == len(queries)
    for number in range(7):
        name = client(number).address
        assert counts[name] <= sum(asked == number for _, asked in queries)
