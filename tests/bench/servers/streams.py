# SPDX-License-Identifier: MIT
"""asyncio's streams with a timeout, a task a connection: the listening socket is descriptor 3."""

from __future__ import annotations

import asyncio
import socket

TIMEOUT = 600.0  # seconds
USERS = {b"moshez": b"Happy and well"}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one connection."""
    try:
        async with asyncio.timeout(TIMEOUT):
            line = await reader.readline()
            writer.write(USERS.get(line.strip(), b"No such user") + b"\r\n")
            await writer.drain()
    except (TimeoutError, OSError, ValueError):
        pass
    finally:
        writer.close()


async def main() -> None:
    """Serve for ever."""
    server = await asyncio.start_server(
        serve, sock=socket.socket(fileno=3), backlog=socket.SOMAXCONN
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
