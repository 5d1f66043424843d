# SPDX-License-Identifier: MIT
"""The benchmark does not rot: a quick run of it, with a few queries, finds what it should."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from ..helpers import needs
from . import beside, first, pages, peers, run
from .build import compiled

PARTS = (
    "rounds",
    "first",
    "memory",
    "cold",
    "scale",
)  # not the profile: it is perf that would be tried
SERVERS = (peers.LIMIT, peers.OURS, peers.OURS_LOGGING, peers.PROTOCOL)


@pytest.fixture(scope="module", autouse=True)
def _compiler() -> None:
    needs.programs("cc")
    needs.right(needs.mounts_as_anybody)


def test_a_quick_run_measures_every_server_and_writes_the_report(tmp_path: Path) -> None:
    chosen = [word for name in SERVERS for word in ("--peer", name)]
    assert run.main(["--quick", "--no-install", "--out", str(tmp_path), *PARTS, *chosen]) in (0, 1)
    results = json.loads((tmp_path / "results.json").read_text())
    assert not set(SERVERS) & set(results["missing"])
    for servers in results["rounds"]:
        assert set(servers) == set(SERVERS)
        for levels in servers.values():
            for sample in levels.values():
                assert sample["ok"] == sample["queries"]
                assert sample["cpu_us"] > 0
    asked = {peers.LIMIT, peers.PROTOCOL, *first.OURS_FIRST}
    if needs.giving_away():  # homes of other users are made by the superuser only
        asked.remove(first.OURS_ACCOUNTS)
    for servers in results["first"]:
        assert asked <= set(servers)
        for name in asked:
            for sample in servers[name].values():
                assert sample["ok"] == sample["queries"]
        assert {first.ABSENT, first.FOUND} <= set(servers[first.OURS_DATABASE])
    assert asked & {first.OURS_ACCOUNTS} <= set(results["cold"]["ms"])
    report = (tmp_path / "report.md").read_text()
    for heading in (
        "What must be reached",
        "First asking",
        "Resident memory",
        "Cold start",
        "Scale",
    ):
        assert heading in report


def test_what_a_page_costs_is_measured_beside_a_bare_handler() -> None:
    needs.modules("aiohttp", "jinja2", "systemd")
    found = pages.measure(rounds=1, count=8, log=False)
    assert {"kept", "first", "bare", "kept_ratio", "first_ratio"} == set(found)
    assert all(value > 0 for value in found.values())


def test_finger_answers_beside_a_web_that_has_all_it_can_take() -> None:
    needs.modules("aiohttp", "jinja2", "systemd")
    found = beside.rounds(1, 64)
    assert len(found) == 4
    for kind, results in found.items():
        assert [(sample.ok, sample.bad) for sample, _ in results] == [(64, 0)], kind


def test_the_load_generator_refuses_what_is_no_loopback_address(tmp_path: Path) -> None:
    expect = tmp_path / "expect"
    expect.write_bytes(b"\r\n")
    for address in ("192.0.2.1", "10.0.0.1", "::2", "localhost"):
        done = subprocess.run(
            [compiled("load"), address, "79", expect], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert "is not a loopback address" in done.stderr
