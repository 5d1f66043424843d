# SPDX-License-Identifier: MIT
"""The table of ``make torture`` in docs/torture.md: what each test did, and what came of it.

The tests write rows, one JSON object a line, into the file that TORTURE names; this module joins
the files of several runs and puts the table where the page has its marks. It does so whatever has
failed, and above the table it says how much.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from .figures import MISSES

BEGIN = "<!-- what make torture wrote: begin -->\n"
END = "<!-- what make torture wrote: end -->\n"
NOT_RUN = "–"  # what a run lacks
FAILED = "**failed**"
REASON = 200  # characters of a failure


@dataclass(frozen=True, slots=True)
class Row:
    """What was done (`what`) on a machine (`release`), and how it ended. `test`: its file."""

    what: str
    release: str
    figure: str
    test: str


def failed(when: str, reason: str) -> str:
    """Return the figure of a test that has failed. `when`: setup, call or teardown."""
    words = " ".join(reason.split())
    shown = words if len(words) <= REASON else f"{words[:REASON]}…"
    return f"{FAILED} ({when}): {shown.replace('|', '/').replace('<', '‹').replace('`', '´')}"


def write(row: Row) -> None:
    """Add `row` to the run's file, where there is one."""
    if file := os.environ.get("TORTURE"):
        with open(file, "a", encoding="utf-8") as run:
            run.write(json.dumps(asdict(row)) + "\n")


def read(file: Path) -> list[Row]:
    """Return the rows of one run, in their order; none where it has not come that far."""
    if not file.exists():
        return []
    return [Row(**json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]


def lay_out(runs: Sequence[Iterable[Row]], about: str) -> str:
    """Return the table: a row for each thing done, a column for each machine, the rows of a test
    together; in each cell what the runs found, one under the other where that differs.
    """
    cells: dict[tuple[str, str], dict[str, list[str]]] = {}
    releases: dict[str, None] = {}
    for number, run in enumerate(runs):
        for row in run:
            releases[row.release] = None
            found = cells.setdefault((row.test, row.what), {})
            found.setdefault(row.release, [NOT_RUN] * len(runs))[number] = row.figure
    lines = [["what was done", *releases, "shown by"], ["---"] * (len(releases) + 2)]
    for (test, what), found in sorted(cells.items(), key=lambda cell: cell[0][0]):
        none = [NOT_RUN]
        figures = ["<br>".join(dict.fromkeys(found.get(name, none))) for name in releases]
        lines.append([what, *figures, f"`{test}`"])
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return f"{about}\n\n{table}"


def place(page: str, table: str) -> str:
    """Return `page` with `table` between its marks. Raises ValueError where it has none."""
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f"the page needs one line {BEGIN.strip()} and one {END.strip()}")
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}"


def summary(runs: Sequence[Iterable[Row]]) -> str:
    """Return how many figures miss their bounds, and how much has failed."""
    figures = [row.figure for run in runs for row in run]
    missed = sum(figure.count(MISSES) for figure in figures)
    broken = sum(figure.startswith(FAILED) for figure in figures)
    bounds = "Each figure keeps its bound."
    if missed:
        bounds = f"Figures that miss their bounds: {missed}."
    failures = "Nothing was lost, wrong, leaked or hung."
    if broken:
        failures = f"Tests that failed: {broken}."
    return f"{bounds} {failures}"


def main(page: Path, began: float, files: Sequence[Path]) -> None:
    """Put the table of the runs in `files` into `page`. `began`: seconds since the epoch."""
    runs = [read(file) for file in files]
    many = f"{len(runs)} runs" if len(runs) > 1 else "1 run"
    differ = "; several figures where the runs differ" if len(runs) > 1 else ""
    about = (
        f"{many} of `tests/system/torture`, {datetime.now(UTC):%Y-%m-%d},"
        f" {(time.time() - began) / 60:.0f} minutes, {os.cpu_count()} processors,"
        f" Linux {os.uname().release.split('-')[0]}{differ}.\n{summary(runs)}"
    )
    table = lay_out(runs, about)
    page.write_text(place(page.read_text(encoding="utf-8"), table), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), [Path(run) for run in sys.argv[3:]])
