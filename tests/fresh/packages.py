# SPDX-License-Identifier: MIT
"""The package of this tree, and of a later version, built in a fresh root of each release."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from .root import USER, root

TREE = Path(__file__).parents[2]
BUILT = TREE / "build/fresh"
SCRIPT = "sh /shared/tree/tests/fresh/as-a-newcomer.sh"


def lay_out(folder: Path) -> str:
    """Write the tree as it is now, but for what git ignores, into `folder`; return its hash."""
    with tempfile.TemporaryDirectory() as index:
        mine = {**os.environ, "GIT_INDEX_FILE": f"{index}/index"}

        def git(*words: str) -> str:
            done = subprocess.run(
                ["git", *words], cwd=TREE, env=mine, check=True, capture_output=True, text=True
            )
            return done.stdout.strip()

        git("add", "--all")
        git("checkout-index", "--all", f"--prefix={folder}/")
        return git("write-tree")


def keep(release: str, folder: Path, tree: str) -> None:
    """Keep the packages in `folder`, which were built of `tree`."""
    target = BUILT / release
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target)
    (target / "tree").write_text(tree)


@cache
def package(release: str, later: bool = False, name: str = "fingerd-sd") -> Path:
    """Return the package `name` that was built of the tree as it is now, in a root of `release`;
    `later`: of the version after it. It is built now, without its tests, if `make fresh` has not.
    """
    with tempfile.TemporaryDirectory(prefix="fingerd-sd-package-") as folder:
        shared = Path(folder)
        tree = lay_out(shared / "tree")
        known = BUILT / release / "tree"
        if not known.exists() or known.read_text() != tree:
            _build(release, shared, tree)
    kept = BUILT / release
    (found,) = kept.glob(f"{name}_99-1_all.deb" if later else f"{name}_0*_all.deb")
    return found


def _build(release: str, shared: Path, tree: str) -> None:
    share(shared)
    log = shared / "log"
    with root(release, shared) as made:
        for step in ("nocheck", "later"):
            if made.run(USER, f"{SCRIPT} {step}", log) != 0:
                said = log.read_text(errors="replace")[-4000:]
                raise AssertionError(f"{step} failed on {release}:\n{said}")
    keep(release, shared / "package", tree)


def share(folder: Path) -> None:
    """Let any user write packages into `folder`, and read all of it."""
    folder.chmod(0o755)
    (folder / "package").mkdir(exist_ok=True)
    (folder / "package").chmod(0o777)
    subprocess.run(["chmod", "-R", "a+rX", folder / "tree"], check=True)
