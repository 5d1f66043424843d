# SPDX-License-Identifier: MIT
"""Where the tools are that examine the pages: `make pages` puts them there."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
TOOLS = HERE.parents[1] / "build/pages/node_modules"
HANGS = 900  # seconds: a browser starts slowly where much else runs


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder, so that ``-m 'not pages'`` leaves them out."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.pages)
            item.add_marker(pytest.mark.timeout(HANGS))
