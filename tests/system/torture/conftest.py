# SPDX-License-Identifier: MIT
"""Every test here tells the table of ``make torture`` what it did and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from ..finger import Finger
from .table import Row, write


@pytest.fixture
def tell(finger: Finger, request: pytest.FixtureRequest) -> Iterator[Callable[[str, str], None]]:
    """What a test calls with what it did and the figures, once it has seen that they are right."""
    test = request.path.relative_to(request.config.rootpath)
    told = False

    def row(what: str, figure: str) -> None:
        nonlocal told
        told = True
        write(Row(what, finger.machine.release, figure, str(test)))
        print(f"{finger.machine.release}: {what}: {figure}")

    yield row
    assert told, "this test tells the table nothing"
