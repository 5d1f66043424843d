# SPDX-License-Identifier: MIT
"""Boots a root in systemd-nspawn and is certain to end it again.

Each container has its own cgroup (with ``--keep-unit`` two would otherwise share their units'
cgroups and stop each other's services) and its own mount namespace, in which a throw-away overlay
lies above the cached root: the mounts are gone when the container is. Where the test run dies, the
container is powered off.
Debian's own timers do not run: what dpkg-db-backup.timer writes at midnight would otherwise stand
among what the package left behind.
Knows nothing of what runs inside.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .waiting import wait_for

CGROUPS = tuple(Path("/sys/fs/cgroup", name) for name in ("systemd", "unified", "."))
PREFIX = "fingerd-sd-"
LEADER_TIMEOUT = 60.0  # seconds until PID 1 of the container exists
POWER_OFF_TIMEOUT = 20.0  # seconds for an orderly end; then it is killed

# $1: the cached root, $2: an empty folder, $3: a name; the rest: cgroup.procs files to be in.
LAUNCH = """
root=$1 base=$2 name=$3; shift 3
for procs; do echo $$ >"$procs"; done
mount -t tmpfs -o mode=0755 tmpfs "$base"
mkdir "$base/upper" "$base/work" "$base/root"
mount -t overlay -o "lowerdir=$root,upperdir=$base/upper,workdir=$base/work" overlay "$base/root"
exec setpriv --pdeathsig TERM systemd-nspawn --quiet -D "$base/root" -M "$name" --boot \
    --private-network --register=no --keep-unit --console=pipe --resolv-conf=off \
    --timezone=off systemd.firstboot=no systemd.mask=timers.target
"""


class Container:
    """One booted copy of a root. `leader`: its PID 1 as this machine counts."""

    def __init__(self, root: Path, name: str) -> None:
        """Start `root`; return as soon as its PID 1 exists. `name`: letters, digits, ``-``.

        Call it in a thread that lives as long as the container: the kernel ends it with that one.
        """
        _sweep()
        self.name = f"{PREFIX}{name}-{os.getpid()}"
        self._base = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        self._console = tempfile.TemporaryFile()  # noqa: SIM115  # closed by end()
        self._cgroups = [
            folder / self.name for folder in CGROUPS if (folder / "cgroup.procs").exists()
        ]
        self._process: subprocess.Popen[bytes] | None = None
        try:
            for folder in self._cgroups:
                folder.mkdir()
            self._process = subprocess.Popen(
                ["unshare", "--mount", "--propagation=private", "sh", "-euc", LAUNCH, "sh"]
                + [str(root), str(self._base), self.name]
                + [str(folder / "cgroup.procs") for folder in self._cgroups],
                stdin=subprocess.DEVNULL,
                stdout=self._console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self.leader = wait_for(
                self._find_leader, f"{self.name} to start", LEADER_TIMEOUT, note=self.console
            )
        except BaseException:
            self.end()
            raise

    def console(self) -> str:
        """Return the end of what came over its console."""
        self._console.seek(0)
        return self._console.read().decode(errors="replace")[-4000:]

    def end(self) -> None:
        """Power it off, with force if it must be, and leave nothing of it behind."""
        if self._process is not None:
            leader = self._find_leader(certain=False)
            self._process.terminate()  # nspawn asks its PID 1 for a power-off
            try:
                self._process.wait(POWER_OFF_TIMEOUT)
            except subprocess.TimeoutExpired:
                if leader is not None:
                    os.kill(leader, signal.SIGKILL)  # all others inside die with their PID 1
                self._process.kill()
                self._process.wait()
            self._process = None
        for folder in self._cgroups:
            wait_for(lambda: _remove_folders(folder), f"{folder} to be empty", POWER_OFF_TIMEOUT)  # noqa: B023
        self._cgroups = []
        with contextlib.suppress(OSError):
            self._base.rmdir()
        self._console.close()

    def _find_leader(self, certain: bool = True) -> int | None:
        """Return nspawn's child that is PID 1 inside; None while there is none."""
        assert self._process is not None
        if self._process.poll() is not None:
            if certain:
                raise AssertionError(f"{self.name} ended at its start:\n{self.console()}")
            return None
        for child in _children(self._process.pid):
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{child}/status").read_text().splitlines():
                    if line.startswith("NSpid:") and line.split()[2:] == ["1"]:
                        return child
        return None


def _children(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):
        yield from map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def _sweep() -> None:
    """Remove the empty folders that a killed test run left; its containers died with it."""
    for parent in (*CGROUPS, Path(tempfile.gettempdir())):
        for folder in parent.glob(f"{PREFIX}*-*"):
            owner = folder.name.removeprefix(PREFIX).split("-")[1]
            if owner.isdigit() and not Path("/proc", owner).exists():
                _remove_folders(folder)


def _remove_folders(folder: Path) -> bool:
    """Remove empty folders, the deepest first; False where one is not empty: a cgroup in use."""
    for path, _, _ in os.walk(folder, topdown=False):
        try:
            os.rmdir(path)
        except OSError:
            return False
    return True
