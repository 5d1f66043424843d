# SPDX-License-Identifier: MIT
"""The end of a connection: after the last answer its client may still send."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

MAX_DROPPED = 1 << 20  # octets that may come after the last answer


class Rest(asyncio.Protocol):
    """What is left of a connection after its last answer: octets are dropped until it is closed, or
    until they are too many.
    """

    def __init__(self, transport: asyncio.Transport, closed: Callable[[], None]) -> None:
        self._transport = transport
        self._closed = closed
        self._dropped = 0  # octets

    def data_received(self, data: bytes) -> None:
        """Drop octets; asyncio.Protocol.data_received."""
        self._dropped += len(data)
        if self._dropped > MAX_DROPPED:
            self._transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Note the end; asyncio.Protocol.connection_lost."""
        self._closed()
