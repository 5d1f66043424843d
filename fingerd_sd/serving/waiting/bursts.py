# SPDX-License-Identifier: MIT
"""What is told that several are served in quick succession, such as the log, which gathers then."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Burst: TypeAlias = Callable[[bool], None]  # True: it begins; False: it is over


def nothing(_: bool, /) -> None:
    """Be a Burst that nobody wants to hear of."""
