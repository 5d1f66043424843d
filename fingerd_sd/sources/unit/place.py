# SPDX-License-Identifier: MIT
"""The folder of sockets: which names are in it, and a connection to one of them.

A name comes from whoever asks, and never leads out of the folder. It is one part of a path; a link
is not followed; and what was looked at is what is connected to. It knows nothing of finger.
"""

from __future__ import annotations

import os
import socket
import stat
from typing import NamedTuple

USER = "{user}"
MAX_PATH = 107  # octets: sun_path of unix(7), with its end; no unit listens on a longer one


class Place(NamedTuple):
    """`folder`: absolute. `before` and `after`: what surrounds the name in a socket's own name."""

    folder: str
    before: str = ""
    after: str = ""

    def file(self, user: str) -> str | None:
        """Return the socket's own name for `user`; None if there can be none."""
        file = f"{self.before}{user}{self.after}"
        if not user or "/" in user or "\0" in user or file in (".", ".."):
            return None
        octets = len(os.fsencode(self.folder)) + 1 + len(file.encode("utf-8", "surrogateescape"))
        return file if octets <= MAX_PATH else None

    def connect(self, file: str) -> socket.socket | None:
        """Return a connection to the socket `file` that never blocks; None if there is no such
        socket. Raises OSError; BlockingIOError if too many wait for it already: unix(7), EAGAIN.
        """
        flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            folder = os.open(self.folder, flags | os.O_DIRECTORY)
        except FileNotFoundError:
            return None
        try:
            place = os.open(file, flags, dir_fd=folder)
        except FileNotFoundError:
            return None
        finally:
            os.close(folder)
        try:
            if not stat.S_ISSOCK(os.fstat(place).st_mode):
                return None
            made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                made.setblocking(False)
                made.connect(f"/proc/self/fd/{place}")  # this very socket: proc(5)
            except BaseException:
                made.close()
                raise
            return made
        finally:
            os.close(place)

    def users(self, limit: int) -> list[str]:
        """Return the names of the sockets in the folder, sorted, `limit` at most."""
        found = []
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    name = entry.name
                    if not name.startswith(self.before) or not name.endswith(self.after):
                        continue
                    user = name[len(self.before) : len(name) - len(self.after)]
                    if self.file(user) == name and _is_socket(entry):
                        found.append(user)
        except FileNotFoundError:
            pass
        return sorted(found)[:limit]


def _is_socket(entry: os.DirEntry[str]) -> bool:
    try:
        return stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False
