# SPDX-License-Identifier: MIT
"""Running a program once, for its output: no shell, nothing inherited, nothing left behind.

It knows no users and no configuration. In CVE-1999-0813 and CVE-2002-0424, children kept what the
finger daemon had. A child of this module gets no descriptor but /dev/null and one pipe, and no
environment but ENVIRONMENT. The unit decides which rights the process has (finger.service(5)).
"""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from signal import SIGKILL
from types import MappingProxyType
from typing import NamedTuple, cast

ENVIRONMENT = MappingProxyType(
    {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",  # answers are UTF-8: RFC 1288 §2.2 leaves the charset open
        "HOME": "/",
        "TERM": "dumb",
    }
)
CHUNK = 65536  # octets read at once: what a pipe holds
REAP = 1.0  # seconds to wait for a killed child to go; the kernel may take longer, if a disk hangs


class Outcome(NamedTuple):
    """How a program ended. `status`: its exit status, or a signal's number as a negative one; None
    if this module ended it because of too much output. `output`: both streams as they came.
    """

    status: int | None
    output: bytes


async def run(argv: Sequence[bytes], limit: int) -> Outcome:
    """Run the program at the path `argv[0]`. Return when it and its output have ended, or as soon
    as there are more than `limit` octets: then the output has `limit` + 1 octets or more.

    Whatever happens, also when cancelled, it kills all of the process group before it returns, and
    waits for the program. Raises OSError if the program cannot be started.
    """
    child = _Child(argv)
    try:
        output = bytearray()
        while octets := await child.read():
            output += octets
            if len(output) > limit:
                return Outcome(None, bytes(output))
        # A program may close its output and go on; it must still end in time.
        return Outcome(await child.ended, bytes(output))
    finally:
        await child.end()


class _Child:
    """A process, the leader of a session of its own, and the pipe that it writes to.

    Only this object waits for the process, and only when its descriptor says that it has ended. So
    its process id cannot belong to another process when its group is killed.
    """

    def __init__(self, argv: Sequence[bytes]) -> None:
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[int] = self._loop.create_future()
        self._process = subprocess.Popen(  # noqa: S603  # no shell; the administrator's program
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            close_fds=True,
            start_new_session=True,
            cwd="/",
            env=ENVIRONMENT,
            bufsize=0,
        )
        self._pipe = cast(io.FileIO, self._process.stdout)
        os.set_blocking(self._pipe.fileno(), False)
        try:
            self._descriptor = os.pidfd_open(self._process.pid)  # pidfd_open(2), Linux 5.3
        except OSError:
            self._kill()
            self._process.wait()
            self._pipe.close()
            raise
        self._loop.add_reader(self._descriptor, self._reap)

    async def read(self) -> bytes:
        """Return what the child has written, at least one octet; b"" at the end."""
        while True:
            octets = self._pipe.read(CHUNK)
            if octets is not None:
                return octets
            readable = self._loop.create_future()
            self._loop.add_reader(self._pipe, _set, readable)
            try:
                await readable
            finally:
                self._loop.remove_reader(self._pipe)

    async def end(self) -> None:
        """Kill what still runs of the group, and wait for the child, REAP seconds at most. A child
        that takes longer is reaped when it ends.
        """
        self._pipe.close()
        if not self.ended.done():
            self._kill()
            await asyncio.wait({self.ended}, timeout=REAP)

    def _reap(self) -> None:
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        # The dead leader still holds its process id, and so the group's: now is the time to kill
        # what it has left in the background.
        self._kill()
        status = self._process.wait()
        if not self.ended.done():
            self.ended.set_result(status)

    def _kill(self) -> None:
        # PermissionError: a set-user-ID program, which NoNewPrivileges= does not let be one.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, SIGKILL)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
