# SPDX-License-Identifier: MIT
"""Figures and tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from .rounds import Round


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table; all columns but the first are numbers."""
    lines = [f"| {' | '.join(head)} |", f"|---{'|--:' * (len(head) - 1)}|"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows), ""]


def of(rounds: list[Round], name: str, at: str, key: str) -> float | None:
    found = [this[name][at][key] for this in rounds if at in this.get(name, {})]
    return median(found) if found else None


def show(value: float | None, form: str = ".0f") -> str:
    return "–" if value is None else f"{value:,{form}}"
