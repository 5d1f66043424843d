# SPDX-License-Identifier: MIT
"""A server that speaks Redis' protocol and says what a test wants: an old one, or a liar."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

SOUND = b"redis_version:7.2.4\r\nrole:master\r\naof_enabled:1\r\nmaxmemory:0\r\n"


class Error(str):
    """A reply that is an error, such as "NOPERM why"."""

    __slots__ = ()


@contextmanager
def fake(says: Mapping[str, Any], greeting: bytes = b"") -> Iterator[int]:
    """A server at 127.0.0.1, at the port that is returned. `says`: the replies to commands by their
    first words, or what returns them; it says OK to any other. `greeting`: what it says to
    everybody before it hangs up.
    """
    replies = {"INFO": SOUND, "WAITAOF": [1, 0], "PING": Error("+PONG"), **says}

    class Conversation(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            if greeting:
                self.wfile.write(greeting)
                return
            while head := self.rfile.readline():
                words = []
                for _ in range(int(head[1:])):
                    size = int(self.rfile.readline()[1:])
                    words.append(self.rfile.read(size + 2)[:-2])
                reply = replies.get(words[0].decode().upper(), Error("+OK"))
                self.wfile.write(_packed(reply() if callable(reply) else reply))

    class Listener(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = False
        request_queue_size = 16

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing of clients that hang up."""

    with Listener(("127.0.0.1", 0), Conversation) as listener:
        serving = threading.Thread(target=listener.serve_forever, args=(0.01,))
        serving.start()
        try:
            yield listener.server_address[1]
        finally:
            listener.shutdown()
            serving.join()


def _packed(reply: Any) -> bytes:
    """Return `reply` as RESP2 has it."""
    if isinstance(reply, Error):
        return (reply if reply.startswith("+") else f"-{reply}").encode() + b"\r\n"
    if isinstance(reply, bytes):
        return b"$%d\r\n%s\r\n" % (len(reply), reply)
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if reply is None:
        return b"$-1\r\n"
    return b"*%d\r\n" % len(reply) + b"".join(map(_packed, reply))
