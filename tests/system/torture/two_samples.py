# SPDX-License-Identifier: MIT
"""Whether two samples come from the same distribution, whatever that is: Mann and Whitney's test.

Ranks, not means: a machine that is interrupted now and then measures a few very long times.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist, median


@dataclass(frozen=True, slots=True)
class Difference:
    """How `other` differs from `one`. `p`: how likely so much is where nothing differs. `auc`: the
    share of pairs in which `other`'s is the greater, 0.5 for none. `shift`: of the medians. Its
    text is for nanoseconds.
    """

    p: float
    auc: float
    shift: float

    @property
    def apart(self) -> float:
        """The AUC of whichever is the greater more often: from 0.5 to 1."""
        return max(self.auc, 1 - self.auc)

    def __str__(self) -> str:
        return f"{self.shift / 1000:+.2f} µs, AUC {self.auc:.3f}, p {self.p:.2g}"


def compare(one: Sequence[float], other: Sequence[float]) -> Difference:
    """Return the two-sided test of at least about 20 values each, by the normal approximation with
    corrections for ties and for continuity: Mann and Whitney, Annals of Mathematical Statistics 18
    (1947); Lehmann, Nonparametrics (1975), chapter 1, section 4. Values that are all equal: p is 1.
    """
    ones, others = Counter(one), Counter(other)
    pairs, both = len(one) * len(other), len(one) + len(other)
    greater = smaller_ones = ties = 0.0
    for value in sorted(ones | others):
        same = ones[value] + others[value]
        greater += others[value] * (smaller_ones + ones[value] / 2)
        smaller_ones += ones[value]
        ties += same**3 - same
    variance = pairs / 12 * (both + 1 - ties / (both * (both - 1)))
    beyond = max(0.0, abs(greater - pairs / 2) - 0.5)
    p = 2 * NormalDist().cdf(-beyond / math.sqrt(variance)) if variance > 0 else 1.0
    return Difference(p, greater / pairs, median(other) - median(one))


def all_pairs(samples: Mapping[str, Sequence[float]]) -> dict[tuple[str, str], Difference]:
    """Return how each of `samples` differs from each other, by their names."""
    return {
        (one, other): compare(samples[one], samples[other])
        for one, other in combinations(samples, 2)
    }
