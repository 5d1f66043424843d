# SPDX-License-Identifier: MIT
"""The table in docs/torture.md: made of the runs' rows, and naming tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ..system.torture.figures import figure
from ..system.torture.table import (
    BEGIN,
    END,
    NOT_RUN,
    Row,
    failed,
    lay_out,
    place,
    read,
    summary,
    write,
)

PROJECT = Path(__file__).parents[2]


def test_rows_come_back_as_they_were_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Row("restarts", "trixie", "0 lost", "a.py"), Row("silence", "trixie", "1.2 ×", "b.py")]
    monkeypatch.setenv("TORTURE", str(tmp_path / "run"))
    for row in rows:
        write(row)
    assert read(tmp_path / "run") == rows


def test_a_run_that_told_nothing_has_no_rows(tmp_path: Path) -> None:
    assert read(tmp_path / "run") == []


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (figure(0.3, 1, "µs", 2), "0.30 µs (bound 1 µs)"),
        (figure(1, 1, "µs", 2), "1.00 µs (bound 1 µs)"),
        (figure(1.5, 1, "µs", 2), "1.50 µs misses its bound of 1 µs"),
        (figure(4500, 4000, least=True), "4,500 (bound 4,000)"),
        (figure(3999, 4000, least=True), "3,999 misses its bound of 4,000"),
    ],
)
def test_a_figure_stands_beside_its_bound(shown: str, words: str) -> None:
    assert shown == words


def test_what_failed_is_one_cell_of_the_table_however_it_failed() -> None:
    said = failed("call", "assert <a> | `b`\n  " + "x" * 500)
    assert said.startswith("**failed** (call): assert ‹a> / ´b´ xxx")
    assert len(said) < 250


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        (["0 lost"], "Each figure keeps its bound. Nothing was lost, wrong, leaked or hung."),
        (
            [f"{figure(2, 1)}; {figure(2, 1)}", figure(1, 2), failed("call", "lost")],
            "Figures that miss their bounds: 2. Tests that failed: 1.",
        ),
    ],
)
def test_above_the_table_stands_how_much_misses_and_fails(figures: list[str], words: str) -> None:
    assert summary([[Row("a", "trixie", figure, "a.py") for figure in figures]]) == words


def test_each_machine_has_a_column_and_runs_that_differ_are_seen() -> None:
    first = [
        Row("restarts", "bookworm", "0 lost", "a.py"),
        Row("restarts", "trixie", "0 lost", "a.py"),
        Row("dns", "trixie", "2 s", "b.py"),
    ]
    second = [
        Row("restarts", "bookworm", "0 lost", "a.py"),
        Row("restarts", "trixie", "1 lost", "a.py"),
    ]
    assert lay_out([first, second], "Made today:") == (
        "Made today:\n\n"
        "| what was done | bookworm | trixie | shown by |\n"
        "| --- | --- | --- | --- |\n"
        "| restarts | 0 lost | 0 lost<br>1 lost | `a.py` |\n"
        "| dns | – | 2 s<br>– | `b.py` |\n"
    )


def test_a_new_table_takes_the_place_of_the_old() -> None:
    page = place(f"before\n{BEGIN}old\n{END}after\n", "new\n")
    assert page == f"before\n{BEGIN}\nnew\n\n{END}after\n"
    assert place(page, "new\n") == page


def test_a_page_without_marks_is_left_alone() -> None:
    with pytest.raises(ValueError, match="needs one line"):
        place("no mark\n", "table\n")


def test_the_table_names_every_torture_test_and_no_other() -> None:
    page = (PROJECT / "docs/torture.md").read_text(encoding="utf-8")
    table = page.split(BEGIN)[1].split(END)[0]
    if "| what was done |" not in table:
        pytest.skip("the table has not been made yet")
    named = set(re.findall(r"`(tests/[^`]+)` \|$", table, re.MULTILINE))
    there = (PROJECT / "tests/system/torture").glob("test_*.py")
    assert named == {str(path.relative_to(PROJECT)) for path in there}
    assert NOT_RUN not in table
