# SPDX-License-Identifier: MIT
"""Takes from the service what it lives on: memory, tasks, room on a file system, processor.

Knows the machine and its kernel, not what the tests want to see.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..finger import SERVICE, Finger
from ..machine import Machine

CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Kind:
    """What may be bounded. `setting`: the unit's; `folder`, `file`: where the first version of the
    kernel's cgroups has it; `current`: what systemd calls the use.
    """

    setting: str
    folder: str
    file: str
    current: str


MEMORY = Kind("MemoryMax", "memory", "memory.limit_in_bytes", "MemoryCurrent")
TASKS = Kind("TasksMax", "pids", "pids.max", "TasksCurrent")


@contextlib.contextmanager
def bound(finger: Finger, kind: Kind, most: int) -> Iterator[Callable[[int], None]]:
    """Let the process that runs now have `most` of `kind` only; what is yielded changes that.

    systemd does it, where it can; where the machine's systemd was given no such controller, the
    same controller of this host: then the next process is not bound.
    """
    machine = finger.machine
    if machine.show(SERVICE, kind.current).isdigit():

        def change(most: int) -> None:
            machine.systemctl("set-property", "--runtime", SERVICE, f"{kind.setting}={most}")

        try:
            change(most)
            yield change
        finally:
            machine.systemctl("revert", SERVICE)
        return
    outside = machine.outside(finger.pid())
    folder = CGROUPS / kind.folder / f"fingerd-sd-{outside}"
    folder.mkdir()

    def write(most: int) -> None:
        (folder / kind.file).write_text(str(most))

    try:
        write(most)
        (folder / "cgroup.procs").write_text(str(outside))
        yield write
    finally:
        for pid in (folder / "cgroup.procs").read_text().split():
            (folder.parent / "cgroup.procs").write_text(pid)
        folder.rmdir()


@contextlib.contextmanager
def full(machine: Machine, folder: str, size: str = "128k") -> Iterator[Callable[[], None]]:
    """Have a small file system over `folder`; what is yielded fills it to the last octet."""
    machine.run("mount", "-t", "tmpfs", "-o", f"size={size},mode=1777", "tmpfs", folder)

    def fill() -> None:
        done = machine.run("dd", "if=/dev/zero", f"of={folder}/fill", "bs=512", check=False)
        assert "No space left" in done.stderr

    try:
        yield fill
    finally:
        machine.run("umount", "--lazy", folder)


def ticks(machine: Machine, pid: int) -> int:
    """Return the processor time that a process has had, in clock ticks: proc(5), stat."""
    fields = machine.run("cat", f"/proc/{pid}/stat").stdout.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def number(machine: Machine, pid: int, name: str) -> int:
    """Return a number of /proc/PID/status: Threads, voluntary_ctxt_switches and others."""
    lines = machine.run("cat", f"/proc/{pid}/status").stdout.splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{name}:")))
