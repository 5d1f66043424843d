# SPDX-License-Identifier: MIT
"""What first askings cost, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .bounds import ratio
from .first import KINDS
from .peers import LIMIT
from .rounds import FULL, Round
from .show import of, show, table

HOW = """\
256 clients. Each name is asked once in the life of a process, so that nothing was kept; *kept* is
one name again and again. The others look it up in a hash table of as many users. Answers to absent
accounts are held back (`miss_time`), which is no processor time.
"""


def first(results: Mapping[str, Any]) -> list[str]:
    """Return the lines of the section."""
    rounds: list[Round] = results["first"]
    rows = [
        [
            f"{kind}: {name}",
            *(show(of(rounds, name, at, "cpu_us"), ".1f") for at in (kind, f"{kind}, {FULL}")),
            *(show(ratio(rounds, name, LIMIT, at), ".2f") for at in (kind, f"{kind}, {FULL}")),
            show(of(rounds, name, kind, "per_second")),
            *(show((of(rounds, name, kind, p) or 0) / 1000, ".2f") for p in ("p50_us", "p99_us")),
        ]
        for kind in KINDS
        for name in rounds[0]
        if kind in rounds[0][name]
    ]
    head = ["", "µs", "µs, full", "÷ C", "÷ C, full", "a second", "p50, ms", "p99, ms"]
    lines = ["## First asking", "", HOW, *table(head, rows)]
    samples = [sample for this in rounds for kinds in this.values() for sample in kinds.values()]
    bad = sum(sample["bad"] + sample["reset"] for sample in samples)
    asked = sum(sample["queries"] for sample in samples)
    lines += [f"{asked:,.0f} queries, {bad:,.0f} of them lost, cut, wrong or reset.", ""]
    if at := results.get("floor"):
        lines += [
            f"{at['held']:,.0f} clients held back for {at['seconds']:.0f} s: a kept answer costs"
            f" {at['beside']:.1f} µs beside them, {at['without']:.1f} without"
            f" ({at['ratio']:.2f} ×).",
            "",
        ]
    return lines
