# SPDX-License-Identifier: MIT
"""Rates: a bucket of tokens for each client, in bounded memory.

Sans-I/O: the time comes in as an argument.
"""

from __future__ import annotations

from collections import OrderedDict

MAX_BUCKETS = 65536  # clients whose rate is remembered, about 260 octets each
MISS_COST = 4  # a query whose answer tells nothing about a person counts as this many


class Buckets:
    """A token bucket for each key. A bucket holds a minute's queries and fills up evenly.

    At most MAX_BUCKETS are kept; the one that has been quiet longest is forgotten first.
    """

    def __init__(self) -> None:
        # A plain dict takes ever longer to find its first key if first keys are always deleted.
        self._buckets: OrderedDict[tuple[str, str], _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: tuple[str, str], rate: int, now: float) -> bool:
        """Take one token of `key` at `now`, in monotonic seconds; False if there is none.
        `rate`: tokens a minute.
        """
        bucket = self._buckets.get(key)
        if bucket is not None:
            self._buckets.move_to_end(key)  # the order is that of the last query
        else:
            if len(self._buckets) >= MAX_BUCKETS:
                self._buckets.popitem(last=False)
            bucket = self._buckets[key] = _Bucket(rate, now)
        return bucket.take(rate, now)

    def miss(self, key: tuple[str, str], rate: int) -> None:
        """Make the last query of `key` count MISS_COST times.

        No time comes in, so that a longer look-up costs neither more nor less. The debt is at most
        that of a full bucket spent on misses at once, and is paid in three minutes.
        """
        bucket = self._buckets.get(key)
        if bucket is not None:
            bucket.tokens = max(bucket.tokens - (MISS_COST - 1), -(MISS_COST - 1) * rate)


class _Bucket:
    __slots__ = ("at", "tokens")

    def __init__(self, tokens: float, at: float) -> None:
        self.tokens = tokens
        self.at = at  # monotonic seconds

    def take(self, rate: int, now: float) -> bool:
        self.tokens = min(rate, self.tokens + (now - self.at) * rate / 60)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True
