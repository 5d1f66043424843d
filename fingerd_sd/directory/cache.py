# SPDX-License-Identifier: MIT
"""A cache that is bounded in octets. Each entry has a lifetime of its own.

Sans-I/O: the time comes in as an argument. It knows nothing about its values.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MAX_OCTETS = 4 << 20  # of all values together, as the callers count them
OVERHEAD = 512  # octets that Python itself takes for one entry


class Cache(Generic[K, V]):
    """At most `limit` octets. The oldest entry is forgotten first: a client that asks for one name
    after another pushes out the answers of other clients, which only costs those a new look-up.
    """

    def __init__(self, limit: int = MAX_OCTETS) -> None:
        self._limit = limit
        self._octets = 0
        # A plain dict takes ever longer to find its first key if first keys are always dropped.
        self._kept: OrderedDict[K, tuple[V, float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def octets(self) -> int:
        """The octets that the entries take now, with the overhead."""
        return self._octets

    def get(self, key: K, now: float) -> V | None:
        """Return the value of `key` if it is still alive at `now`, in monotonic seconds; else
        None.
        """
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept[1] < now:
            self.drop(key)
            return None
        return kept[0]

    def put(self, key: K, value: V, octets: int, until: float) -> None:
        """Keep `value`, which takes `octets`, until `until`, in monotonic seconds."""
        kept = self._kept
        if key in kept:
            self.drop(key)
        octets += OVERHEAD
        if octets > self._limit:
            return
        while self._octets + octets > self._limit:
            self.drop(next(iter(kept)))
        kept[key] = (value, until, octets)
        self._octets += octets

    def clear(self) -> None:
        """Forget all that is kept."""
        self._kept.clear()
        self._octets = 0

    def drop(self, key: K) -> None:
        """Forget the value of `key`, if there is one."""
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._octets -= kept[2]


class Current(Cache[K, V]):
    """A cache that forgets all when `news` returns another value than before."""

    def __init__(self, news: Callable[[], Hashable], limit: int = MAX_OCTETS) -> None:
        super().__init__(limit)
        self._news = news
        self._heard = news()

    def get(self, key: K, now: float) -> V | None:
        """Return what Cache.get does, if it was put in since the last news."""
        news = self._news()
        if news != self._heard:
            self._forget(news)
        kept = self._kept.get(key)
        if kept is not None and kept[1] >= now:
            return kept[0]
        return Cache.get(self, key, now)  # whatever else there is to do

    def _forget(self, news: Hashable) -> None:
        """Forget what is not so any more since `news`."""
        self._heard = news
        self.clear()


class Selective(Current[K, V]):
    """A cache that forgets at news only what they are about. `since`: whom all news after earlier
    ones are about; None: anybody. `about`: whom the value of a key is about; None: several people.
    """

    def __init__(
        self,
        news: Callable[[], Hashable],
        since: Callable[[Hashable], Iterable[str] | None],
        about: Callable[[K], str | None],
        limit: int = MAX_OCTETS,
    ) -> None:
        super().__init__(news, limit)
        self._since = since
        self._about = about
        self._keys: dict[str | None, set[K]] = {}  # by whom their values are about

    def put(self, key: K, value: V, octets: int, until: float) -> None:
        """Do what Cache.put does."""
        super().put(key, value, octets, until)
        if key in self._kept:
            self._keys.setdefault(self._about(key), set()).add(key)

    def clear(self) -> None:
        """Forget all that is kept."""
        super().clear()
        self._keys.clear()

    def drop(self, key: K) -> None:
        """Forget the value of `key`, if there is one."""
        super().drop(key)
        about = self._about(key)
        keys = self._keys.get(about, set())
        keys.discard(key)
        if not keys:
            self._keys.pop(about, None)

    def _forget(self, news: Hashable) -> None:
        people = self._since(self._heard)
        self._heard = news
        if people is None:
            self.clear()
            return
        for about in (None, *people):
            for key in self._keys.pop(about, ()):
                super().drop(key)
