# SPDX-License-Identifier: MIT
"""A bare aiohttp.web handler: it sends the octets of a file to whoever asks for any page. The
listening socket is descriptor 3.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from aiohttp import web

BODY = Path(sys.argv[1]).read_bytes()


async def page(_: web.Request) -> web.Response:
    """Send the page."""
    return web.Response(body=BODY, content_type="text/html", charset="utf-8")


def main() -> None:
    """Serve for ever."""
    app = web.Application()
    app.router.add_get("/{name}", page)
    web.run_app(app, sock=socket.socket(fileno=3), print=lambda *_: None, access_log=None)


if __name__ == "__main__":
    main()
