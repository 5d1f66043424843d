# SPDX-License-Identifier: MIT
"""A large body in pieces, each when the one before is on its way.

asyncio keeps a copy of all that a client does not take. Many clients that ask for the longest plan
and read nothing would fill the memory with copies of it.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web
from multidict import CIMultiDict

PIECE = 16384  # octets; a connection that does not read keeps two of them at the most


class Pieces(web.StreamResponse):
    """The response 200 with `body`. Its connection waits with more than PIECE in its buffer."""

    def __init__(self, headers: CIMultiDict[str], body: bytes) -> None:
        super().__init__(headers=headers)
        self.content_length = len(body)
        self._large = body
        self._writer: Any = None

    async def prepare(self, request: web.BaseRequest) -> Any:
        """Send the head; web.StreamResponse.prepare."""
        self._writer = request.writer
        return await super().prepare(request)

    async def write_eof(self, data: bytes = b"") -> None:
        """Send the body; web.StreamResponse.write_eof."""
        for start in range(0, len(self._large), PIECE):
            await self.write(self._large[start : start + PIECE])
            await self._writer.drain()
        await super().write_eof(data)


def response_of(
    status: int, headers: CIMultiDict[str], body: bytes, method: str
) -> web.StreamResponse:
    """Return the response to a request of `method`; it has no body where HTTP has none."""
    if status == 200 and len(body) > PIECE and method == "GET":
        return Pieces(headers, body)
    return web.Response(status=status, headers=headers, body=body)
