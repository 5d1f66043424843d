# SPDX-License-Identifier: MIT
"""A journald for tests: it reads the native protocol, by the protocol's own document alone.

https://systemd.io/JOURNAL_NATIVE_PROTOCOL/: `NAME=value LF`, or `NAME LF`, the value's length in
64 bits, little-endian, the value, LF.
"""

from __future__ import annotations

import re
import select
import socket
from pathlib import Path

_NAME = re.compile(rb"[A-Z][A-Z0-9_]{0,63}")


def read_entry(datagram: bytes) -> dict[str, str]:
    """Return the fields of one entry. Raises AssertionError where it is not in the protocol."""
    fields: dict[str, str] = {}
    while datagram:
        head, end, rest = datagram.partition(b"\n")
        assert end, "a field does not end"
        name, separator, value = head.partition(b"=")
        if separator:
            datagram = rest
        else:
            length = int.from_bytes(rest[:8], "little")
            value, datagram = rest[8 : 8 + length], rest[9 + length :]
            assert len(value) == length, "shorter than it says"
            assert rest[8 + length : 9 + length] == b"\n", "no line feed behind the value"
        assert _NAME.fullmatch(name), name
        assert name.decode() not in fields
        fields[name.decode()] = value.decode("utf-8")
    return fields


class Journald:
    """A socket that takes entries. It must be closed."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "socket")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.settimeout(20)

    def __enter__(self) -> Journald:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def entry(self) -> dict[str, str]:
        """Return the next entry; wait for it."""
        return read_entry(self._socket.recv(1 << 20))

    def peek(self) -> bool:
        """Whether an entry waits."""
        return bool(select.select([self._socket], [], [], 0)[0])

    def waiting(self) -> int:
        """Return how many entries wait, and read them."""
        count = 0
        self._socket.setblocking(False)
        try:
            while read_entry(self._socket.recv(1 << 20)):
                count += 1
        except BlockingIOError:
            self._socket.settimeout(20)
        return count
