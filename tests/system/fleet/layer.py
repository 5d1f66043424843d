# SPDX-License-Identifier: MIT
"""The package on a cached root, once for all machines of a fleet, which boot above both.

What is installed in a change root lies in a folder of its own, so that the cached root stays as it
is. No service is started by that, and what Debian enables at once is left to the tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from ...helpers.ended import Ended
from ..machine import ENVIRONMENT

APART = ("unshare", "--mount", "--propagation=private", "--fork", "--pid", "--kill-child")
FOLDER = Path("/var/tmp")  # not /tmp, which may be an overlay itself, or too small
PREFIX = "fingerd-sd-layer-"
TIMEOUT = 300.0  # seconds for one command

# $1: the cached root, $2: the folder of the layer; the rest: a command that runs in it.
ENTER = """
root=$1 base=$2; shift 2
mount -t overlay -o "lowerdir=$root,upperdir=$base/upper,workdir=$base/work" overlay "$base/root"
mount -t proc proc "$base/root/proc"
mount --rbind /dev "$base/root/dev"
mount --bind "$base/packages" "$base/root/mnt"
exec chroot "$base/root" "$@"
"""
INSTALL = """
systemctl disable --quiet haproxy STORE-server STORE-sentinel
apt-get install --yes /mnt/*.deb
"""


class Layer(Ended):
    """A root above the cached `root` that has `package` too. Machines boot from `path`."""

    def __init__(self, root: Path, package: Path, store: str) -> None:
        self._root = root
        _sweep()
        self._folder = tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-", dir=FOLDER)
        base = Path(self._folder.name)
        for name in ("upper", "work", "root", "packages"):
            (base / name).mkdir()
        (base / "packages" / package.name).write_bytes(package.read_bytes())
        # An overlay reads a colon as the end of one folder and the beginning of the one below.
        self.path = Path(f"{base / 'upper'}:{root}")
        self._run("sh", "-euc", INSTALL.replace("STORE", store))

    def leave(self, failed: bool = False) -> None:
        """Remove it; its machines are gone by then."""
        self._folder.cleanup()

    def _run(self, *argv: str) -> None:
        done = subprocess.run(
            [*APART, "sh", "-euc", ENTER, "sh", str(self._root), self._folder.name, *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**ENVIRONMENT, "DEBIAN_FRONTEND": "noninteractive"},
            text=True,
            errors="replace",
            timeout=TIMEOUT,
            check=False,
        )
        if done.returncode != 0:
            raise AssertionError(f"{argv} returned {done.returncode}:\n{done.stdout[-4000:]}")


def _sweep() -> None:
    """Remove the layers that killed test runs left; their machines died with them."""
    for folder in FOLDER.glob(f"{PREFIX}*-*"):
        owner = folder.name.removeprefix(PREFIX).partition("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            shutil.rmtree(folder, ignore_errors=True)
