# SPDX-License-Identifier: MIT
"""The test that must tell two samples apart, on samples of which the answer is known."""

from __future__ import annotations

import random

import pytest

from ..system.torture.two_samples import compare

# From the documentation of scipy.stats.mannwhitneyu: U is 17 of 20 pairs, p is 0.1113.
MALES, FEMALES = [19, 22, 16, 29, 24], [20, 11, 17, 12]


def test_the_example_of_scipy() -> None:
    told = compare(FEMALES, MALES)
    assert told.auc == 17 / 20
    assert told.p == pytest.approx(0.11134688653314041)
    assert told.shift == 22 - 14.5


def test_which_sample_comes_first_does_not_matter() -> None:
    one, other = compare(FEMALES, MALES), compare(MALES, FEMALES)
    assert one.p == other.p
    assert (one.auc, one.shift) == (1 - other.auc, -other.shift)


def test_ties_are_half_and_make_the_variance_smaller() -> None:
    told = compare([1, 1, 2, 2], [1, 2, 2, 3])
    # 1 beats none and ties 2; each 2 beats 2 and ties 2; 3 beats 4: 11 of 16. Ties of 3, 4 and 1.
    assert told.auc == 11 / 16
    # |11 - 8| - 0.5 = 2.5; variance 16/12 * (9 - 84/56) = 10; z = 0.7906
    assert told.p == pytest.approx(0.4292, abs=1e-4)


def test_equal_values_are_no_difference() -> None:
    assert compare([3] * 50, [3] * 50).p == 1


@pytest.mark.parametrize("seed", range(5))
def test_noise_with_long_tails_is_told_apart_only_where_it_is_shifted(seed: int) -> None:
    source = random.Random(seed)

    def microseconds(shift: float) -> list[int]:
        return [round(150 + shift + source.paretovariate(1.5) * 10) for _ in range(10_000)]

    assert compare(microseconds(0), microseconds(0)).p > 0.001
    assert compare(microseconds(0), microseconds(3)).p < 1e-9
