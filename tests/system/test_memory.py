# SPDX-License-Identifier: MIT
"""Memory pressure in the sandbox of finger.service: told by a FIFO of the test's; and the file of
the kernel that systemd would name, which can be watched.
"""

from __future__ import annotations

import pytest

from .finger import HAPPY, SERVICE, Finger
from .waiting import wait_for

FIFO = "/run/pressure"
# What systemd 254 and later do on a machine with one hierarchy of cgroups; these have several.
PSI = "/sys/fs/cgroup/unified/system.slice/finger.service/memory.pressure"
THRESHOLD = "c29tZSAyMDAwMDAgMjAwMDAwMAA="  # "some 200000 2000000" and a NUL
DELEGATED = f"""
[Service]
Environment=MEMORY_PRESSURE_WATCH={PSI}
Environment=MEMORY_PRESSURE_WRITE={THRESHOLD}
ReadWritePaths={PSI}
ExecStartPre=+/bin/chmod 666 {PSI}
"""


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


def test_the_kernels_file_can_be_watched_by_the_service(finger: Finger) -> None:
    if finger.machine.run("test", "-d", "/sys/fs/cgroup/unified", check=False).status:
        pytest.skip("systemd itself names the file here")
    finger.drop_in(DELEGATED)
    pid = finger.serve()
    assert finger.ask("moshez") == HAPPY
    watched = finger.machine.run("sh", "-c", f"readlink /proc/{pid}/fd/*").stdout.split()
    assert PSI in watched
    assert finger.machine.show(SERVICE, "Result") == "success"
