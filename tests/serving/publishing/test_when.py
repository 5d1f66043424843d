# SPDX-License-Identifier: MIT
"""`--until`: what a person writes, in zones that put their clocks forward and back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerd_sd.serving.publishing import when
from fingerd_sd.serving.publishing.when import WhenError, parse, words

BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"  # as POSIX writes a zone: no data base is needed


@pytest.fixture(autouse=True)
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", BERLIN)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def at(text: str, fold: int = 0) -> float:
    """Return the moment at which clocks in Berlin show `text`, in seconds since the epoch."""
    return datetime.fromisoformat(text).replace(fold=fold).timestamp()


NOW = "2026-11-25 10:12"  # a Wednesday
UNDERSTOOD = {
    "18:00": "2026-11-25 18:00",
    " 18:00:30 ": "2026-11-25 18:00:30",
    "today 18:00": "2026-11-25 18:00",
    "24:00": "2026-11-26 00:00",
    "tomorrow 9:00": "2026-11-26 09:00",
    "Tomorrow  09:00": "2026-11-26 09:00",
    "tomorrow 24:00": "2026-11-27 00:00",
    "wed 11:00": "2026-11-25 11:00",
    "wednesday 9:00": "2026-12-02 09:00",
    "FRIDAY 17:00": "2026-11-27 17:00",
    "tue 0:00": "2026-12-01 00:00",
    "2026-12-24 09:00": "2026-12-24 09:00",
    "2026-12-24T09:00": "2026-12-24 09:00",
    "2026-12-24t09:00:00+00:00": "2026-12-24 10:00",
    "2026-12-24 09:00Z": "2026-12-24 10:00",
    "2026-12-24 09:00 -05:30": "2026-12-24 15:30",
    "+2h": "2026-11-25 12:12",
    "2 h": "2026-11-25 12:12",
    "+ 2 hours": "2026-11-25 12:12",
    "90 min": "2026-11-25 11:42",
    "90m": "2026-11-25 11:42",
    "1h30m": "2026-11-25 11:42",
    "1 h 30 min": "2026-11-25 11:42",
    "30s": "2026-11-25 10:12:30",
    "3 days": "2026-11-28 10:12",
    "1 week 1 day 1 h": "2026-12-03 11:12",
}
REFUSED = {
    "9:00": "has passed: it is 10:12 (CET) now; for tomorrow, write \"tomorrow 9:00\"",
    "10:12": "has passed",
    "today 9:00": "has passed",
    "2026-11-24 09:00": "has passed",
    "2026-12-24T09:00+24:00": "no time zone",
    "2026-12-24T09:00+05:60": "no time zone",
    "18:00Z": "no date",
    "25:00": "no time of a day",
    "24:01": "no time of a day",
    "18:60": "no time of a day",
    "2026-02-30 10:00": "there is no such day",
    "2027-03-28 02:30": "clocks are put forward",
    "yesterday 9:00": "no day",
    "6pm": "not by 24 hours",
    "2 fortnights": "no unit",
    "0 min": "would end at once",
    "99999 h": "too far away",
    "99999999999999999999 weeks": "too far away",
    "9999-12-31 24:00": "too far away",
    "": "understood",
    "18": "understood",
    "18.00": "understood",
    "-2h": "understood",
    "+": "understood",
    "tomorrow": "understood",
    "2026-12-24": "understood",
    "soon": "understood",
    "٣ min": "understood",
    "1٣:00": "understood",
}  # fmt: skip


@pytest.mark.parametrize("text", UNDERSTOOD)
def test_understands(text: str) -> None:
    assert parse(text, at(NOW)) == at(UNDERSTOOD[text])


@pytest.mark.parametrize("text", REFUSED)
def test_refuses_what_is_no_time_to_come_and_says_why(text: str) -> None:
    with pytest.raises(WhenError, match=r".*") as refused:
        parse(text, at(NOW))
    assert REFUSED[text] in str(refused.value)
    assert "\n" not in str(refused.value)


def test_hours_are_hours_when_clocks_are_put_forward_or_back() -> None:
    for day in ("2027-03-28", "2026-10-25"):
        now = at(f"{day} 01:30")
        assert parse("+2h", now) == now + 7200


def test_a_day_later_it_is_the_same_time_of_the_day() -> None:
    assert parse("1 day", at("2027-03-27 18:00")) == at("2027-03-28 18:00")
    assert parse("1 day", at("2027-03-27 18:00")) - at("2027-03-27 18:00") == 23 * 3600
    assert parse("tomorrow 18:00", at("2026-10-24 18:00")) == at("2026-10-25 18:00")


def test_of_an_hour_that_comes_twice_the_next_one_is_meant() -> None:
    first, second = (at("2026-10-25 02:30", fold) for fold in (0, 1))
    assert second - first == 3600
    assert parse("2:30", first - 60) == first
    assert parse("2:30", first + 60) == second
    assert words(first, first) == "today 02:30 (CEST)"
    assert words(second, first) == "today 02:30 (CET)"
    with pytest.raises(WhenError, match="has passed"):
        parse("2:30", second + 60)


@pytest.mark.parametrize(
    ("moment", "told"),
    [
        ("2026-11-25 18:00", "today 18:00 (CET)"),
        ("2026-11-25 18:00:30", "today 18:00:30 (CET)"),
        ("2026-11-26 00:00", "tomorrow 00:00 (CET)"),
        ("2026-12-03 09:05", "Thu Dec 3 09:05 (CET)"),
        ("2027-07-01 09:05", "Thu Jul 1 2027 09:05 (CEST)"),
    ],
)
def test_says_in_words_what_was_understood(moment: str, told: str) -> None:
    assert words(at(moment), at(NOW)) == told


MOMENTS = st.integers(0, 2_000_000_000)  # up to 2033, in seconds since the epoch


@given(now=MOMENTS, minutes=st.integers(1, when.MAX_DAYS * 1440 - 1440))
def test_what_is_written_as_a_date_is_read_as_the_same_moment(now: int, minutes: int) -> None:
    moment = now - now % 60 + 60 * minutes
    text = f"{datetime.fromtimestamp(moment).astimezone():%Y-%m-%d %H:%M%z}"
    assert parse(f"{text[:-2]}:{text[-2:]}", now) == moment
    local = datetime.fromtimestamp(moment)
    if local.replace(fold=1 - local.fold).timestamp() == moment:  # no hour that comes twice
        assert parse(f"{local:%Y-%m-%d %H:%M}", now) == moment


@given(now=MOMENTS, text=st.text(alphabet="0123456789:+- tzhmind", max_size=20))
def test_any_text_is_a_time_to_come_or_refused(now: int, text: str) -> None:
    try:
        moment = parse(text, now)
    except WhenError:
        return
    assert now < moment <= now + (when.MAX_DAYS + 1) * 86400
    assert words(moment, now)
