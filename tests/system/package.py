# SPDX-License-Identifier: MIT
"""The Debian package on a machine that has what it depends on."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .machine import Machine

DROP_IN = "/etc/fingerd-sd/conf.d/moshez.toml"


def install(machine: Machine, *packages: Path) -> None:
    """Install `packages` as README.md says; what they depend on is there already."""
    paths = [f"/tmp/{package.name}" for package in packages]
    for package, path in zip(packages, paths, strict=True):
        with package.open("rb") as octets:
            subprocess.run(
                machine.command("tee", path), stdin=octets, stdout=subprocess.DEVNULL, check=True
            )
    machine.run(
        *("env", "DEBIAN_FRONTEND=noninteractive"),
        *("apt-get", "install", "--yes", "--allow-downgrades", *paths),
    )


def version(machine: Machine) -> str:
    """Return the version of the package that is installed; empty where none is."""
    query = ("dpkg-query", "--show", "--showformat", "${Version}", "fingerd-sd")
    return machine.run(*query, check=False).stdout
