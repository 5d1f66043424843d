# SPDX-License-Identifier: MIT
"""One request to the keeper over its socket, and its response: octets in, octets out.

It blocks. It knows neither what is asked nor what is said; `wire` does. It imports no event loop:
a person waits for the command.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import time

SOCKET = "/run/fingerd-sd/publish"
TIMEOUT = 60.0  # seconds from connect to the end of the response; a keeper may have to start first
MAX_RESPONSE = 64 << 20  # octets: all texts of one person, as each of many audiences gets them

_ENABLE = "systemctl enable --now finger-publish.socket"


class NotReached(Exception):  # noqa: N818  # a state of the machine, no fault
    """The keeper gave no response; what is said is one line. `refused`: by the socket's mode."""

    def __init__(self, say: str, refused: bool = False) -> None:
        super().__init__(say)
        self.refused = refused


def exchange(path: str, request: bytes, timeout: float = TIMEOUT) -> bytes:
    """Send `request` to the keeper whose socket is `path`; return all that it sends back.

    Raises NotReached if it cannot be reached, or breaks off before its line is whole.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        until = time.monotonic() + timeout
        connection.settimeout(timeout)
        try:
            connection.connect(path)
        except OSError as error:
            raise _not_reached(path, error, timeout) from None
        try:
            # A keeper that refuses at once, such as one with too many callers, does not read it.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
            response = _read(connection, until)
        except TimeoutError:
            raise NotReached(
                f"the keeper did not answer within {timeout:g} s; {_UNKNOWN}"
            ) from None
        except OSError as error:
            raise NotReached(f"the keeper broke off: {error.strerror}; {_UNKNOWN}") from None
    if not response.endswith(b"\n"):
        raise NotReached(f"the keeper ended before it had answered; {_UNKNOWN}")
    return response


_UNKNOWN = "it may be stored or not: look with `fingerd-sd publish --show`, and try again"


def _read(connection: socket.socket, until: float) -> bytes:
    """Return the line of the response, or less. No further: behind it there may be a reset, since a
    keeper that refuses at once has not read the request.
    """
    octets = bytearray()
    while len(octets) < MAX_RESPONSE and not octets.endswith(b"\n"):
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        part = connection.recv(65536)
        if not part:
            break
        octets += part
    return bytes(octets)


def _not_reached(path: str, error: OSError, timeout: float) -> NotReached:
    if isinstance(error, TimeoutError):
        return NotReached(
            f"the keeper at {path} took no connection within {timeout:g} s: try again"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return NotReached(f"you may not use {path}: ask the administrator", refused=True)
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ECONNREFUSED):
        return NotReached(
            "publishing is not enabled on this machine; the administrator enables it by "
            f"`{_ENABLE}`"
        )
    return NotReached(f"the keeper cannot be reached at {path}: {error.strerror or error}")
