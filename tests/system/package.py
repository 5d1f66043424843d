# SPDX-License-Identifier: MIT
"""The Debian package on a machine that has what it depends on."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .machine import Machine

DROP_IN = "/etc/fingerd-sd/conf.d/moshez.toml"


def install(machine: Machine, *packages: Path) -> None:
    """Install `packages` as README.md says; what they depend on is there already."""
    paths = [_bring(machine, package) for package in packages]
    machine.run(
        *("env", "DEBIAN_FRONTEND=noninteractive"),
        *("apt-get", "install", "--yes", "--allow-downgrades", *paths),
    )


def reinstall(machine: Machine, package: Path) -> None:
    """Install `package` whatever version is installed, be it the same."""
    machine.run("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "-i", _bring(machine, package))


def _bring(machine: Machine, package: Path) -> str:
    """Copy `package` to the machine; return its path there."""
    path = f"/tmp/{package.name}"
    with package.open("rb") as octets:
        subprocess.run(
            machine.command("tee", path), stdin=octets, stdout=subprocess.DEVNULL, check=True
        )
    return path


def version(machine: Machine) -> str:
    """Return the version of the package that is installed; empty where none is."""
    query = ("dpkg-query", "--show", "--showformat", "${Version}", "fingerd-sd")
    return machine.run(*query, check=False).stdout
