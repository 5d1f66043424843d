# SPDX-License-Identifier: MIT
"""Draw results.json: `picture.py RESULTS PICTURE`. The peers' interpreter, which has matplotlib,
runs it."""

import json
import sys
from importlib import import_module
from statistics import median
from typing import Any

BLUE, GREY = "#1f6fb4", "#b8b8b8"


def _bars(axes: Any, title: str, figures: dict[str, float], form: str) -> None:
    names = sorted(figures, key=lambda name: figures[name], reverse=True)
    colours = [BLUE if name.startswith("fingerd-sd") else GREY for name in names]
    bars = axes.barh(names, [figures[name] for name in names], color=colours)
    axes.bar_label(bars, fmt=form, padding=3, fontsize=8)
    axes.set_title(f"{title} (logarithmic)", fontsize=10, loc="left")
    axes.set_xscale("log")
    axes.xaxis.set_visible(False)  # the figures stand beside the bars
    axes.margins(x=0.2)
    axes.tick_params(labelsize=8)
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)


def _figures(results: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return for each title the figure of each server."""
    found: dict[str, dict[str, float]] = {}
    rounds = results.get("rounds") or []
    level = "256" if rounds and any("256" in peer for peer in rounds[0].values()) else "16"
    cost: dict[str, list[float]] = {}
    for this in rounds:
        for name, levels in this.items():
            if level in levels:
                cost.setdefault(name, []).append(levels[level]["cpu_us"])
    found[f"Processor µs a query, {level} clients"] = {n: median(c) for n, c in cost.items()}
    memory = results.get("memory") or {}
    found["Resident memory after all queries, MiB"] = {
        name: row["after"] / 1024 for name, row in memory.items() if "after" in row
    }
    found["KiB for each silent client"] = {
        name: max(row["kib"], 0.01) for name, row in memory.items() if "without" in row
    }
    starts = (results.get("cold") or {}).get("ms", {})
    title = "Cold start: connect() to the whole answer, ms"
    found[title] = {name: median(times) for name, times in starts.items()}
    return {title: figures for title, figures in found.items() if figures}


def main() -> None:
    """Draw it."""
    matplotlib = import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot = import_module("matplotlib.pyplot")
    with open(sys.argv[1], encoding="utf-8") as file:
        figures = _figures(json.load(file))
    figure, places = pyplot.subplots(2, 2, figsize=(13, 8), layout="constrained")
    for axes in places.flat[len(figures) :]:
        axes.set_visible(False)
    for axes, (title, values) in zip(places.flat, figures.items(), strict=False):
        _bars(axes, title, values, "%.2f" if "silent" in title else "%.1f")
    figure.savefig(sys.argv[2], dpi=110, bbox_inches="tight")  # long names and all


if __name__ == "__main__":
    main()
