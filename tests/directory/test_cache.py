# SPDX-License-Identifier: MIT
"""The cache: bounded in octets, each entry with its own end of life."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fingerd_sd.directory.cache import OVERHEAD, Cache, Current, Selective


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


class People:
    """A cache of answers to lines: "alice" is about alice, "*..." about several. `log`: of whom the
    news were; None: anybody.
    """

    def __init__(self, limit: int = 1 << 20) -> None:
        self.log: list[str | None] = []
        self.cache: Selective[str, str] = Selective(
            lambda: len(self.log), self.since, self.about, limit
        )

    def since(self, news: object) -> list[str] | None:
        assert isinstance(news, int)
        told = self.log[news:]
        return None if None in told else [one for one in told if one is not None]

    def about(self, key: str) -> str | None:
        return None if key[0] == "*" else key.rstrip("0123456789")

    def fill(self, *keys: str) -> None:
        for key in keys:
            self.cache.put(key, key, 6, until=10.0)

    def kept(self, *keys: str) -> list[str]:
        return [key for key in keys if self.cache.get(key, 0.0) is not None]


KEYS = ("alice", "alice2", "bob", "*list", "*match")


def test_news_of_one_forget_what_may_be_about_that_one() -> None:
    people = People()
    people.fill(*KEYS)
    people.log.append("carol")
    assert people.kept(*KEYS) == ["alice", "alice2", "bob"]
    people.fill(*KEYS)
    people.log += ["alice", "dave"]
    assert people.kept(*KEYS) == ["bob"]
    assert people.cache.octets == 6 + OVERHEAD
    people.log.append(None)
    assert people.kept(*KEYS) == []
    assert (len(people.cache), people.cache.octets) == (0, 0)
    people.fill("bob")
    people.cache.clear()
    people.log.append("bob")
    assert people.kept("bob") == []


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.sampled_from(["a", "a1", "b", "c", "*", "*2"])),
            st.tuples(st.just("get"), st.sampled_from(["a", "a1", "b", "c", "*", "*2"])),
            st.tuples(st.just("drop"), st.sampled_from(["a", "a1", "b", "c", "*", "*2"])),
            st.tuples(st.just("news"), st.sampled_from(["a", "b", "d", None])),
        )
    )
)
def test_it_remembers_of_whom_everything_is_that_it_keeps(
    steps: list[tuple[str, str | None]],
) -> None:
    people = People(limit=4 * (OVERHEAD + 6))
    cache = people.cache
    for what, name in steps:
        if what == "news":
            people.log.append(name)
        elif what == "put" and name is not None:
            people.fill(name)
        elif what == "drop" and name is not None:
            cache.drop(name)
        elif name is not None:
            cache.get(name, 0.0)
        keys = {key for of_one in cache._keys.values() for key in of_one}
        assert keys == set(cache._kept)
        assert all(cache._keys.values())
