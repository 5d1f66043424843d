# SPDX-License-Identifier: MIT
"""A clock that a test puts forward, so that no deadline need be so short that a busy machine
misses it.
"""

from __future__ import annotations

import asyncio


def put_forward(seconds: float) -> None:
    """Put the running loop's clock forward: what was to end within `seconds` is late now."""
    loop = asyncio.get_running_loop()
    now = loop.time
    loop.time = lambda: now() + seconds  # type: ignore[method-assign]  # the test's own loop
