# SPDX-License-Identifier: MIT
"""What the other tests rely on: a booted machine does nothing that no test asked for."""

from __future__ import annotations

from .machine import Machine


def test_no_timer_of_the_system_runs(booted: Machine) -> None:
    assert booted.systemctl("list-unit-files", "--no-legend", "--type=timer").strip()
    assert booted.systemctl("list-timers", "--no-legend").strip() == ""
