# SPDX-License-Identifier: MIT
"""The cache: bounded in octets, each entry with its own end of life."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fingerd_sd.directory.cache import OVERHEAD, Cache, Current


def test_what_was_put_is_got_until_its_end() -> None:
    cache: Cache[str, str] = Cache()
    cache.put("alice", "answer", 6, until=10.0)
    assert cache.get("alice", 9.9) == "answer"
    assert cache.get("bob", 9.9) is None
    assert cache.get("alice", 10.1) is None
    assert (len(cache), cache.octets) == (0, 0)


def test_what_lives_for_ever_is_always_got() -> None:
    cache: Cache[str, str] = Cache()
    cache.put("alice", "answer", 6, until=float("inf"))
    assert cache.get("alice", 1e18) == "answer"


def test_putting_again_replaces() -> None:
    cache: Cache[str, str] = Cache()
    cache.put("alice", "old", 1000, until=10.0)
    cache.put("alice", "new", 1, until=20.0)
    assert cache.get("alice", 15.0) == "new"
    assert (len(cache), cache.octets) == (1, 1 + OVERHEAD)


def test_the_first_that_came_goes_first_where_there_is_no_room() -> None:
    cache: Cache[int, int] = Cache(limit=3 * (OVERHEAD + 10))
    for key in range(5):
        cache.put(key, key, 10, until=1.0)
    assert [cache.get(key, 0.0) for key in range(5)] == [None, None, 2, 3, 4]


def test_what_is_larger_than_all_room_is_not_kept_and_pushes_nobody_out() -> None:
    cache: Cache[str, str] = Cache(limit=OVERHEAD + 10)
    cache.put("small", "s", 10, until=1.0)
    cache.put("large", "l", 11, until=1.0)
    assert cache.get("small", 0.0) == "s"
    assert cache.get("large", 0.0) is None


def test_what_has_grown_too_large_is_not_left_in_its_old_form() -> None:
    cache: Cache[str, str] = Cache(limit=OVERHEAD + 10)
    cache.put("alice", "old", 10, until=1.0)
    cache.put("alice", "new", 11, until=1.0)
    assert cache.get("alice", 0.0) is None
    assert cache.octets == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3000), st.integers(0, 9))))
def test_no_more_is_kept_than_the_limit(puts: list[tuple[int, int, int]]) -> None:
    limit = 5 * OVERHEAD
    cache: Cache[int, tuple[int, int]] = Cache(limit)
    last: dict[int, tuple[int, int]] = {}
    for now, (key, octets, life) in enumerate(puts):
        cache.put(key, (now, octets), octets, until=now + life)
        last[key] = (now, octets)
        assert cache.octets <= limit
        kept = [got for key in last if (got := cache.get(key, now)) is not None]
        assert set(kept) <= set(last.values())
        assert cache.octets == sum(octets + OVERHEAD for _, octets in kept)


def test_a_cache_that_was_cleared_has_all_its_room_again() -> None:
    cache: Cache[str, str] = Cache(limit=2 * OVERHEAD + 20)
    cache.put("a", "1", 10, 5)
    cache.put("b", "2", 10, 5)
    cache.clear()
    assert (len(cache), cache.octets, cache.get("a", 0)) == (0, 0, None)
    cache.put("c", "3", 10, 5)
    cache.put("d", "4", 10, 5)
    assert len(cache) == 2


def test_news_makes_it_forget_all() -> None:
    news = ["first"]
    cache: Current[str, str] = Current(lambda: news[0])
    for name in ("alice", "bob"):
        cache.put(name, "answer", 6, until=10.0)
    assert cache.get("alice", 0.0) == "answer"
    news[0] = "second"
    assert cache.get("alice", 0.0) is None
    assert (len(cache), cache.octets) == (0, 0)
    cache.put("alice", "another", 7, until=10.0)
    assert cache.get("alice", 0.0) == "another"
