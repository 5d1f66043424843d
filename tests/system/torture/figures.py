# SPDX-License-Identifier: MIT
"""A measured figure beside its bound, in words. No test fails by it: the table tells.

What fails is lost, wrong, hung or leaked. Leaked is what stays beyond LEAKED_MEMORY or
LEAKED_DESCRIPTORS once all has gone that was the reason for it: so much is no cache and no noise.
"""

from __future__ import annotations

LEAKED_MEMORY = 32 << 10  # KiB
LEAKED_DESCRIPTORS = 16

MISSES = "misses its bound of"


def figure(value: float, bound: float, unit: str = "", places: int = 0, least: bool = False) -> str:
    """Return `value` in `unit` with so many decimal `places`, and that it keeps `bound` or misses
    it. `least`: the bound is a lower one.
    """
    after = f" {unit}" if unit else ""
    shown, limit = f"{value:,.{places}f}{after}", f"{bound:,g}{after}"
    kept = value >= bound if least else value <= bound
    return f"{shown} (bound {limit})" if kept else f"{shown} {MISSES} {limit}"
