# SPDX-License-Identifier: MIT
"""What is built from this tree, at most once in a test run, for whichever test asks first.

Nothing is written into the tree, and nothing downloaded.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from . import needs

TREE = Path(__file__).parents[2]
BUILD_TIMEOUT = 600  # seconds; half a minute is usual
NO_CHECK = {"DEB_BUILD_OPTIONS": "nocheck", "DEB_BUILD_PROFILES": "nocheck"}


def run(*argv: str | Path, cwd: Path = TREE, env: Mapping[str, str] = MappingProxyType({})) -> str:
    """Run a tool as on a terminal of a machine without this project's venv; return what it says."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        argv,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=BUILD_TIMEOUT,
        cwd=cwd,
        env={**mine, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", **env},
    )
    assert done.returncode == 0, f"{argv} returned {done.returncode}:\n{done.stdout[-6000:]}"
    return done.stdout


def once(build: Callable[[], Path]) -> Callable[[], Path]:
    """Let `build` happen once, however it ends: a failure is told to all who ask."""

    @cache
    def ended() -> Path | AssertionError:
        try:
            return build()
        except AssertionError as error:
            return error

    def get() -> Path:
        end = ended()
        if isinstance(end, AssertionError):
            raise end
        return end

    return get


@once
def dist() -> Path:
    """Return a folder with the archive of the source, and the wheel built from that archive."""
    tree = Path(_temporary().name) / "tree"
    ignored = (TREE / ".gitignore").read_text().replace("/", "").split()
    shutil.copytree(TREE, tree, ignore=shutil.ignore_patterns(".git", *ignored))
    folder = Path(_temporary().name) / "dist"
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, tree)
    return folder


@once
def built() -> Path:
    """Return the folder of the packages of this tree, made as `make deb` makes them, but for its
    tests: those run in fresh roots (tests/fresh).
    """
    return _build("built")


@once
def built_elsewhere() -> Path:
    """Return the same again, built in another place, time zone and umask."""
    mask = os.umask(0o077)
    try:
        return _build("elsewhere", TZ="Asia/Kathmandu")
    finally:
        os.umask(mask)


def _build(name: str, **env: str) -> Path:
    needs.programs("git", "dpkg-buildpackage", "dh", "dh_python3")
    if not (TREE / ".git").exists():
        needs.cannot_run("the package is built from a git clone, and this is none")
    folder = Path(tempfile.mkdtemp(dir=_temporary().name)) / name
    run(TREE / "packaging/deb.sh", folder, env={**NO_CHECK, **env})
    return folder


def deb(folder: Path, name: str = "fingerd-sd") -> Path:
    """Return the package `name` in a folder of packages."""
    (path,) = folder.glob(f"{name}_*_all.deb")
    return path


@cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="fingerd_sd_builds_")  # gone when the tests are over
