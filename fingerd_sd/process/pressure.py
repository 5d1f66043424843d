# SPDX-License-Identifier: MIT
"""Memory pressure: systemd says when memory is short, and what can be had again is then dropped.

The protocol is that of https://systemd.io/MEMORY_PRESSURE/: the environment names a file of the
kernel (PSI), a FIFO or a socket. This module is imported only if the environment names one, and
knows nothing of what is dropped.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import stat
from binascii import a2b_base64
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress

from fingerd_sd.process.threads import Pool

OFF = "/dev/null"  # what stands for nothing to be watched
EVERY = 1.0  # seconds between two times at the least: sooner there is little to drop again
AT_A_TIME = 65536  # octets that are read and dropped: what a FIFO holds


def opened(environment: Mapping[str, str]) -> Pressure | None:
    """Return what to watch. None: nothing, as `environment` wants it, or because what it names
    cannot be opened or does not tell, such as on a kernel without PSI.
    """
    path = environment.get("MEMORY_PRESSURE_WATCH", OFF)
    if path == OFF:
        return None
    try:
        pressure = Pressure()
    except OSError:
        return None
    try:
        pressure.open(
            path, a2b_base64(environment.get("MEMORY_PRESSURE_WRITE", ""), strict_mode=True)
        )
    except (OSError, ValueError):
        pressure.close()
        return None
    return pressure


class Pressure:
    """Something that tells of memory pressure. `times`: how often memory was given back."""

    def __init__(self) -> None:
        self.times = 0
        self._fd = -1
        self._poll = select.poll()
        self._thread: Pool | None = None  # that waits for the kernel's file

    @property
    def told(self) -> str:
        """How often memory was given back, in words."""
        return f"memory given back {self.times} time{'s' if self.times != 1 else ''}"

    @property
    def closed(self) -> bool:
        """Whether nothing is watched any more."""
        return self._fd < 0

    def open(self, path: str, first: bytes) -> None:
        """Open `path` and write `first` to it, which says what the kernel shall report. Raises
        OSError if that fails, or ValueError if `path` is nothing that can report.
        """
        mode = os.stat(path).st_mode
        if stat.S_ISSOCK(mode):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            try:
                sock.connect(path)
            finally:
                self._fd = sock.detach()
        elif stat.S_ISFIFO(mode) or stat.S_ISREG(mode):
            # A FIFO for writing too, so that there is no end of it when a writer leaves: fifo(7).
            self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        else:
            raise ValueError(f"{path} is no file, no FIFO and no socket")
        if stat.S_ISREG(mode):
            with select.epoll() as epoll:  # an ordinary file is refused, and left alone
                epoll.register(self._fd, select.EPOLLPRI)
            self._poll.register(self._fd, select.POLLPRI)
            self._thread = Pool(1, "memory pressure")
        if first:
            os.write(self._fd, first)
        if stat.S_ISFIFO(mode):
            self._read()  # that was written by this process

    def close(self) -> None:
        """Let go of it. The loop that watches it must not do so any more."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def watch(self, loop: asyncio.AbstractEventLoop, *give_back: Callable[[], None]) -> None:
        """Have all of `give_back` called in `loop` whenever memory is short, every EVERY seconds
        at most. To be called once.
        """
        if self._thread is None:
            loop.add_reader(self._fd, self._readable, loop, give_back)
            return

        def told(waited: Future[list[tuple[int, int]]]) -> None:
            [(_, events)] = waited.result()
            with suppress(RuntimeError):  # the loop is closed, and the process leaves
                loop.call_soon_threadsafe(self._wake, loop, give_back, events)

        # The kernel's file tells of an event once, to who looks first: where epolls lie in one
        # another, as those of an event loop may, the outer one looks, and the inner finds nothing.
        with suppress(RuntimeError):  # no thread can be had
            self._thread.submit(self._poll.poll).add_done_callback(told)

    def _readable(
        self, loop: asyncio.AbstractEventLoop, give_back: Sequence[Callable[[], None]]
    ) -> None:
        loop.remove_reader(self._fd)
        self._wake(loop, give_back, select.POLLIN)

    def _wake(
        self,
        loop: asyncio.AbstractEventLoop,
        give_back: Sequence[Callable[[], None]],
        events: int,
    ) -> None:
        # The kernel's file has no threshold, or the group of processes is gone: it would tell for
        # ever. It is not to be read; of all else, what comes is dropped.
        if events & select.POLLERR or (events & select.POLLIN and not self._read()):
            self.close()
            return
        self.times += 1
        loop.call_later(EVERY, self.watch, loop, *give_back)
        for call in give_back:
            call()
        trim()

    def _read(self) -> bool:
        """Drop what has come. False: there is an end, and nothing comes any more."""
        try:
            return bool(os.read(self._fd, AT_A_TIME))
        except BlockingIOError:
            return True
        except OSError:  # reset
            return False


def trim() -> None:
    """Have the C library give the kernel the freed memory that it keeps: malloc_trim(3). Otherwise,
    when 4 MiB of long answers are dropped, it keeps nearly all of them. A collection of garbage
    finds nothing more, and takes longer than all the rest.
    """
    try:
        import ctypes

        ctypes.CDLL(None).malloc_trim(0)
    except (ImportError, AttributeError, OSError, MemoryError):  # another C library
        pass
