# SPDX-License-Identifier: MIT
"""Memory pressure in the sandbox of finger.service: told by a FIFO of the test's, and by the kernel
in the file that systemd would name.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from . import roots
from .finger import HAPPY, SERVICE, Finger
from .waiting import wait_for

FIFO = "/run/pressure"
# What systemd 254 and later do on a machine with one hierarchy of cgroups; these have several.
PSI = "/sys/fs/cgroup/unified/system.slice/finger.service/memory.pressure"
# "some 20000 2000000" and a NUL; systemd's is ten times as much, too much for a fast disk.
THRESHOLD = "c29tZSAyMDAwMCAyMDAwMDAwAA=="
DELEGATED = f"""
[Service]
Environment=MEMORY_PRESSURE_WATCH={PSI}
Environment=MEMORY_PRESSURE_WRITE={THRESHOLD}
ReadWritePaths={PSI}
ExecStartPre=+/bin/chmod 666 {PSI}
"""

CGROUPS = Path("/sys/fs/cgroup")
PATIENCE = 60.0  # seconds
# A process that has memory for a part of the file that it reads waits for the disk all the time.
SHORT = 24 << 20  # octets
LONG = 96 << 20  # octets of the file
READ = """
import mmap, os, random, sys, time
with open(sys.argv[1], "rb") as file:
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    pages = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    pages[random.randrange(len(pages))]
"""
# $1, $2: the cgroup.procs files of the groups that the rest is to be run in.
JOINED = 'for procs in "$1" "$2"; do echo $$ >"$procs"; done; shift 2; exec "$@"'


@contextmanager
def thrashing(finger: Finger) -> Iterator[None]:
    """A process that is short of memory counts as one of the service's."""
    outside = finger.machine.outside(finger.pid())
    joined = Path(f"/proc/{outside}/cgroup").read_text().splitlines()
    own = next(line.removeprefix("0::/") for line in joined if line.startswith("0::"))
    few = CGROUPS / "memory" / f"fingerd-sd-{outside}"
    few.mkdir()
    try:
        (few / "memory.limit_in_bytes").write_text(str(SHORT))
        with tempfile.NamedTemporaryFile(dir=roots.cache_directory()) as file:  # on a disk
            file.write(os.urandom(LONG))
            file.flush()
            os.fsync(file.fileno())
            groups = [str(group / "cgroup.procs") for group in (few, CGROUPS / "unified" / own)]
            read = [sys.executable, "-c", READ, file.name, str(PATIENCE)]
            reader = subprocess.Popen(["sh", "-euc", JOINED, "sh", *groups, *read])
            try:
                yield
                assert reader.poll() is None
            finally:
                reader.kill()
                reader.wait()
    finally:
        few.rmdir()


def test_memory_is_given_back_when_that_is_told(finger: Finger) -> None:
    machine = finger.machine
    machine.run("mkfifo", "-m", "666", FIFO)
    try:
        finger.drop_in(f"[Service]\nEnvironment=MEMORY_PRESSURE_WATCH={FIFO}\n")
        finger.serve()
        assert finger.ask("moshez") == HAPPY
        machine.run("sh", "-c", f"echo >{FIFO}")
        wait_for(lambda: "memory given back 1 time" in finger.status(), "it to be given back")
        assert finger.ask("moshez") == HAPPY
    finally:
        machine.run("rm", FIFO)


def test_the_kernel_tells_the_service_that_memory_is_short(finger: Finger) -> None:
    if finger.machine.run("test", "-d", "/sys/fs/cgroup/unified", check=False).status:
        pytest.skip("systemd itself names the file here")
    finger.drop_in(DELEGATED)
    pid = finger.serve()
    assert finger.ask("moshez") == HAPPY
    watched = finger.machine.run("sh", "-c", f"readlink /proc/{pid}/fd/*").stdout.split()
    assert PSI in watched
    assert finger.machine.show(SERVICE, "Result") == "success"
    assert "memory given back" not in finger.status()
    with thrashing(finger):
        wait_for(lambda: "memory given back" in finger.status(), "the kernel to tell", PATIENCE)
        assert finger.ask("moshez") == HAPPY
    assert finger.pid() == pid
