# SPDX-License-Identifier: MIT
# mypy: ignore-errors
"""pyfingerd's own request handling (FingerBaseServer), with the one user of this benchmark.

Its socket is descriptor 3, as systemd passes it, with the whole backlog; its own code binds, with
a backlog of 100.
"""

import asyncio
import socket

from pyfingerd.server import FingerBaseServer


class Server(FingerBaseServer):
    async def handle_malformed_request(self, *, exc, src):
        return "Malformed query\n"

    async def handle_request(self, request, *, src):
        return "Happy and well\n" if request.query == "moshez" else "No such user\n"

    async def _start_server_for_bind(self, bind):
        server = await asyncio.start_server(
            self._handle_async_connection, sock=socket.socket(fileno=3), backlog=socket.SOMAXCONN
        )
        await server.serve_forever()


if __name__ == "__main__":
    Server("127.0.0.1:79").serve_forever()
