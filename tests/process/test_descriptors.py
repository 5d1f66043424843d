# SPDX-License-Identifier: MIT
"""Connections leave descriptors to look-ups, where there are enough."""

from __future__ import annotations

import pytest

from fingerd_sd.process import descriptors
from fingerd_sd.process.descriptors import FEW, LEFT


@pytest.mark.parametrize(
    ("limit", "few", "room"),
    [(64, True, 64), (FEW - 1, True, FEW - 1), (FEW, False, FEW - LEFT), (65536, False, 65408)],
)
def test_connections_leave_some_where_there_are_enough(
    limit: int, few: bool, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descriptors, "limit", lambda: limit)
    assert descriptors.are_few() is few
    assert descriptors.for_connections() == room
