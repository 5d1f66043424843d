# SPDX-License-Identifier: MIT
"""Reading a file that a user controls, as the service's own unprivileged user.

The dangerous part of a finger server: a user may make `~/.plan` a FIFO, a device, a link to
somebody else's file, or swap it between a check and its use. So nothing is checked by name. The
file is opened as a place only (O_PATH: no device is touched, no FIFO waits for a writer), what was
opened is examined, and that very file is opened again for reading, by its descriptor.

It blocks: call it in a thread. It knows no accounts and no policy.
"""

from __future__ import annotations

import errno
import os
import stat
from types import TracebackType
from typing import NamedTuple

from fingerd_sd.protocol.text import CUT_MARK, decode_cut

MAX_USER_FILE = 65536  # octets shown of one file: hundreds of screens

# With its descriptor behind, the opened file itself, whatever its name leads to by now: proc(5).
_BY_DESCRIPTOR = "/proc/self/fd/"
_READING = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


# Errors that say nothing about a file: the process or the machine lacks descriptors or memory.
STARVED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Hidden(Exception):  # noqa: N818  # a refusal, no error
    """The file is not shown; the text says why, for the administrator only."""


class UserFile(NamedTuple):
    """A file's text, LF line ends not yet mended, and its path for explanations."""

    text: str
    path: str


class Home:
    """A user's home directory, held open. A context manager: leaving it closes the directory.

    Raises FileNotFoundError if there is no such directory, PermissionError if this process may not
    search it, and OSError for anything else.
    """

    def __init__(self, path: str, uid: int) -> None:
        self.path = path
        self._prefix = path.rstrip("/") + "/"
        self._uid = uid
        self._real = ""  # its path without links, once it is needed
        # With "." behind, this needs the permission to search the home, not only the way to it: so
        # "may not look" is never taken for "does not exist".
        self._fd = os.open(path and self._prefix + ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Home:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._fd)

    def has(self, name: str) -> bool:
        """Whether there is anything called `name`, a dangling link too.

        Raises OSError if that cannot be known.
        """
        try:
            os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def read(self, name: str) -> UserFile | None:
        """Return the file `name`, cut at MAX_USER_FILE octets with a mark; None: there is none.

        It follows links within the home only. Raises Hidden if it is not a regular file of the
        home's owner inside the home, or if this process may not read it. Raises OSError if STARVED.
        """
        path = self._prefix + name
        try:
            place, status = self._placed(name, os.O_NOFOLLOW)
            is_link = stat.S_ISLNK(status.st_mode)
            if is_link:
                os.close(place)
                place, status = self._placed(name, 0)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(path, error) from None
        try:
            size = self._check(path, place, status, is_link)
            fd = os.open(f"{_BY_DESCRIPTOR}{place}", _READING)
        except OSError as error:
            raise _unreadable(path, error) from None
        finally:
            os.close(place)
        try:
            octets = _read(fd, MAX_USER_FILE + 1, size)
        except OSError as error:
            raise _unreadable(path, error) from None
        finally:
            os.close(fd)
        text, cut = decode_cut(octets, MAX_USER_FILE)
        return UserFile(f"{text}\n{CUT_MARK}\n" if cut else text, path)

    def _placed(self, name: str, flags: int) -> tuple[int, os.stat_result]:
        """Return a descriptor of `name` as a place only, and what is there."""
        place = os.open(name, os.O_PATH | os.O_CLOEXEC | flags, dir_fd=self._fd)
        try:
            return place, os.fstat(place)
        except BaseException:
            os.close(place)
            raise

    def _check(self, path: str, place: int, status: os.stat_result, was_link: bool) -> int:
        """Return the size in octets of what was opened as `place`. Raises Hidden. What is no link
        is where its name is: in the home.
        """
        if was_link:
            self._real = self._real or os.readlink(f"{_BY_DESCRIPTOR}{self._fd}")
            real = os.readlink(f"{_BY_DESCRIPTOR}{place}")
            if not real.startswith(self._real.rstrip("/") + "/"):
                raise Hidden(f"{path}: leads out of the home")
        if not stat.S_ISREG(status.st_mode):
            raise Hidden(f"{path}: not a regular file")
        if status.st_uid != self._uid:
            raise Hidden(f"{path}: not owned by the user")
        return status.st_size


def _read(fd: int, limit: int, size: int) -> bytes:
    """Return at most `limit` octets of a file that had `size` when it was looked at. By hand: a
    buffered file takes longer to make than a plan to read.
    """
    octets = part = os.read(fd, min(size + 1, limit))
    while part and len(octets) != size and len(octets) < limit:  # its size is another, or cut up
        part = os.read(fd, limit - len(octets))
        octets += part
    return octets


def _unreadable(path: str, error: OSError) -> Exception:
    """Return what to raise because `error` kept the file `path` from being read."""
    return error if error.errno in STARVED else Hidden(f"{path}: {error.strerror}")
