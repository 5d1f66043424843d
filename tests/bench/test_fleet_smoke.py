# SPDX-License-Identifier: MIT
"""What one store does for a fleet is measured with a small one: hosts, plans, and all tables."""

from __future__ import annotations

import pytest

from ..helpers import needs
from . import fleet, fleet_published
from .fleet_store import EACH

HOSTS, PLANS = 20, (100, 1000)


def tables(text: str) -> dict[str, list[dict[str, str]]]:
    """Return the rows of the Markdown tables in `text`, by the first of their titles."""
    found: dict[str, list[dict[str, str]]] = {}
    for part in text.split("\n\n"):
        lines = [line.strip("| ").split(" | ") for line in part.splitlines() if line[:1] == "|"]
        if len(lines) > 2:
            titles, _, *rows = lines
            found[titles[0]] = [dict(zip(titles, row, strict=False)) for row in rows]
    return found


def test_a_small_fleet_is_measured_whole(capsys: pytest.CaptureFixture[str]) -> None:
    needs.programs("cc")
    sizes = ["--hosts", str(HOSTS), "--plans", *map(str, PLANS), "--seconds", "1"]
    assert fleet.main([*sizes, "--count", "100"]) == 0
    found = tables(capsys.readouterr().out)
    assert [row["in the store"] for row in found["in the store"]] == [
        *("nothing", "20 hosts with 20 sessions", "and 100 plans", "and 1,000 plans"),
        "80 connections",
    ]
    # Whoever is on has an entry, or is not shown.
    assert [int(row["rows"]) for row in found["plans"]] == [PLANS[0], HOSTS * EACH]
    asked = found["20 hosts at once"]
    assert len(asked) == 7
    assert all(int(row["store, µs each"]) > 0 for row in asked)
    assert len(found["servers that hear of a publish"]) == 3
    assert len(found["publishes of others in a second"]) == len(fleet.PUBLISHES)
    assert [row["a server reads"] for row in found["a server reads"]][-1].startswith("one user")
    assert len(found["20 hosts, each once in 1 s"]) == 3
    assert len(found["the store alone"]) == 2


def test_a_store_is_measured_beside_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    needs.programs("cc")
    needs.right(needs.mounts_as_anybody)
    sizes = ["--users", "20", "--rounds", "1", "--publishes", "2", "--kept", "100"]
    assert fleet_published.main(sizes) == 0
    found = tables(capsys.readouterr().out)
    assert [row["users are in"] for row in found["users are in"]] == [
        *("static", "file of one host", "store", "store, no accounts here"),
    ]
    seen = found["after it, the changed answer at a server with"]
    assert [float(row["median, ms"]) > 0 for row in seen] == [True, True]
