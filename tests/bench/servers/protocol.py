# SPDX-License-Identifier: MIT
"""asyncio's own Protocol, with a timer for each connection: the socket is descriptor 3.

An argument: the file of the names that it knows, one a line.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

TIMEOUT = 600.0  # seconds
MAX_QUERY = 1024  # octets
USERS = {b"moshez": b"Happy and well"}


class Finger(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the timer."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.line = b""
        self.timer = asyncio.get_running_loop().call_later(TIMEOUT, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Answer once the line is whole."""
        self.line += data
        if b"\n" in data or len(self.line) > MAX_QUERY:
            user = self.line.split(b"\n", 1)[0].strip()
            self.transport.write(USERS.get(user, b"No such user") + b"\r\n")
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self.timer.cancel()


async def main() -> None:
    """Serve for ever."""
    server = await asyncio.get_running_loop().create_server(
        Finger, sock=socket.socket(fileno=3), backlog=socket.SOMAXCONN
    )
    await server.serve_forever()


if __name__ == "__main__":
    for file in sys.argv[1:]:
        USERS |= dict.fromkeys(Path(file).read_bytes().split(), b"Happy and well")
    asyncio.run(main())
