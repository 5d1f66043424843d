# SPDX-License-Identifier: MIT
"""Who asked: counted by the server, kept by the keeper for a week, told as two numbers."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fingerd_sd.config.publish import PublishKeys
from fingerd_sd.serving.publishing import tally
from fingerd_sd.serving.publishing.tally import DAY, EVERY, Tally, told
from fingerd_sd.serving.publishing.wire import Request
from fingerd_sd.serving.publishing.writing.embedded import Writer
from fingerd_sd.sources.published import news
from fingerd_sd.sources.published.store import FILE

NOW = 20_000 * DAY + 5


class Clock:
    """A clock that the test puts forward."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def counted(*asked: tuple[str, str]) -> tally.Counts:
    """Return what the keeper is told of queries for a login from an address."""
    lines: list[bytes] = []
    one = Tally(lambda line, patience: lines.append(line), Clock())
    for login, address in asked:
        one.count(login, address)
    one.rest()
    counts = told(lines[0]) if lines else {}
    assert counts is not None
    return counts


def test_networks_are_counted_and_not_addresses() -> None:
    counts = counted(
        ("alice", "192.0.2.7"),
        ("alice", "192.0.2.200"),
        ("alice", "198.51.100.1"),
        ("alice", "2001:db8:1:2::3"),
        ("alice", "2001:db8:1:ffff::3"),
        ("bob", "local"),
    )
    assert counts == {
        "alice": {"192.0.2.0/24": 2, "198.51.100.0/24": 1, "2001:db8:1::/48": 2},
        "bob": {"local": 1},
    }


def test_it_is_told_once_a_minute_and_at_the_end() -> None:
    lines: list[bytes] = []
    clock = Clock()
    one = Tally(lambda line, patience: lines.append(line), clock)
    one.count("alice", "192.0.2.7")
    assert lines == []
    clock.now = EVERY
    one.count("alice", "192.0.2.7")
    one._pool.submit(lambda: None).result(20)  # behind the telling
    assert [told(line) for line in lines] == [{"alice": {"192.0.2.0/24": 2}}]
    one.count("bob", "192.0.2.7")
    one.rest()
    one.rest()
    assert [told(line) for line in lines[1:]] == [{"bob": {"192.0.2.0/24": 1}}]


def test_what_is_counted_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "MAX_PEOPLE", 2)
    monkeypatch.setattr(tally, "MAX_NETWORKS", 3)
    asked = [(f"user{n}", f"10.0.{m}.1") for n in range(5) for m in range(9)]
    counts = counted(*asked)
    assert sorted(counts) == ["user0", "user1"]
    assert [len(networks) for networks in counts.values()] == [4, 4]
    assert sum(counts["user0"].values()) == 9


def test_the_longest_telling_is_read_whole() -> None:
    network = "2001:db8:ffff::/48"
    whole = {
        f"{'l' * 29}{n:03}": {f"{network}{m:02}": 999_999 for m in range(tally.MAX_NETWORKS)}
        for n in range(tally.MAX_PEOPLE)
    }
    assert len(tally.request(whole)) <= tally.LONGEST


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"[]\n",
        b'{"do": "publish"}\n',
        b'{"do": "asked"}\n',
        b'{"do": "asked", "counts": {"alice": 5}}\n',
        b'{"do": "asked", "counts": {"alice": {"x": "y"}}}\n',
        b"[" * 5000,
    ],
)
def test_what_is_no_telling_is_none(octets: bytes) -> None:
    assert told(octets) is None


def test_a_week_is_kept_of_those_who_have_published(tmp_path: Path) -> None:
    writer = Writer(str(tmp_path))
    writer.publish("alice", 1000, Request("publish", {"plan": "x"}), PublishKeys(), NOW)
    before = (tmp_path / news.FILE).read_bytes()
    nets = {"192.0.2.0/24": 2, "198.51.100.0/24": 1}
    writer.note({"alice": nets, "nobody": nets}, NOW)
    writer.note({"alice": {"192.0.2.0/24": 5}}, NOW + DAY)
    assert writer.asked("alice", NOW + DAY) == {"times": 8, "networks": 2}
    assert writer.asked("nobody", NOW + DAY) == {"times": 0, "networks": 0}
    assert writer.asked("alice", NOW + 7 * DAY) == {"times": 5, "networks": 1}
    writer.note({}, NOW + 8 * DAY)
    with closing(sqlite3.connect(tmp_path / FILE)) as database:
        assert database.execute("SELECT count(*) FROM asked").fetchone() == (0,)
    assert (tmp_path / news.FILE).read_bytes() == before  # no answer has changed
    writer.note({"alice": nets}, NOW + 9 * DAY)
    writer.remove("alice")
    assert writer.asked("alice", NOW + 9 * DAY) == {"times": 0, "networks": 0}
    writer.close()


def test_no_network_is_in_the_file(tmp_path: Path) -> None:
    writer = Writer(str(tmp_path))
    writer.publish("alice", 1000, Request("publish", {"plan": "x"}), PublishKeys(), NOW)
    writer.note({"alice": {"192.0.2.0/24": 2}}, NOW)
    writer.close()
    octets = (tmp_path / FILE).read_bytes()
    assert b"192.0.2" not in octets
    assert json.dumps("alice").encode()[1:-1] in octets


def test_networks_of_a_day_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "MAX_DAY", 3)
    writer = Writer(str(tmp_path))
    writer.publish("alice", 1000, Request("publish", {"plan": "x"}), PublishKeys(), NOW)
    writer.note({"alice": {f"10.0.{n}.0/24": 1 for n in range(9)}}, NOW)
    assert writer.asked("alice", NOW) == {"times": 9, "networks": 4}
    writer.close()
