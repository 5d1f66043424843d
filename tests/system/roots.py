# SPDX-License-Identifier: MIT
"""Builds and caches the Debian roots that the machines boot from.

A root is made once by mmdebstrap and never written again: a machine boots an overlay above it.
It lies in ``${FINGERD_SD_CACHE:-${XDG_CACHE_HOME:-~/.cache}/fingerd-sd}/roots`` under a name that
holds its release and a hash of its package list, so a changed list makes a new root. Knows nothing
of machines, systemd or the project.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

RELEASES = ("bookworm", "trixie")

PACKAGES = (
    "curl",
    "dbus",
    "finger",  # the real client
    "haproxy",  # a balancer
    "iproute2",
    "libnss-systemd",  # gives the dynamic user its name
    "libpam-systemd",
    "lynx",  # a browser that fingers
    "make",
    "man-db",  # systemd-analyze verify looks every Documentation=man: up
    "netbase",  # the name of port 79
    "netcat-openbsd",
    "passwd",
    "procps",
    "python3",
    "python3-aiohttp",
    "python3-dbus-fast",
    "python3-lxml",
    "python3-prometheus-client",
    "python3-systemd",
    "systemd",
    "systemd-sysv",
)

# Where pages are served: the package fingerd-sd-web needs more, and a proxy stands in front.
WEB_PACKAGES = (*PACKAGES, "nginx-light", "python3-jinja2", "w3m")

# Of the machines of a fleet: a store of either make, which watches itself, and its client.
STORES = {"bookworm": "redis", "trixie": "valkey"}
FLEET_PACKAGES = {
    release: (*PACKAGES, "python3-redis", f"{store}-server", f"{store}-sentinel")
    for release, store in STORES.items()
}

BUILD_TIMEOUT = 900  # seconds; a minute is usual


class RootError(Exception):
    """mmdebstrap could not build a root; the text ends with what it said."""


def cache_directory() -> Path:
    """Return where things live that take long to make; not necessarily there yet."""
    if chosen := os.environ.get("FINGERD_SD_CACHE"):
        return Path(chosen)
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "fingerd-sd"


def mirror() -> str | None:
    """Return the Debian mirror that apt uses here; None leaves the choice to mmdebstrap."""
    fields = "$(ORIGIN)\t$(LABEL)\t$(CODENAME)\t$(REPO_URI)"
    try:
        told = subprocess.run(
            ["apt-get", "indextargets", "--format", fields, "Created-By: Packages"],
            capture_output=True, text=True, timeout=60, check=True,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    for line in told.splitlines():
        origin, label, codename, uri = line.split("\t")
        if origin == label == "Debian" and "-" not in codename and uri.startswith("http"):
            return uri
    return None


def root(release: str, variant: str = "minbase", packages: Sequence[str] = PACKAGES) -> Path:
    """Return the cached root of `release`, built now if there is none. Raises RootError.

    `variant`: mmdebstrap's; `packages`: what is installed beyond it.
    """
    recipe = "\n".join((release, variant, *sorted(packages)))
    digest = hashlib.sha256(recipe.encode()).hexdigest()[:12]
    wanted = cache_directory() / "roots" / f"{release}-{digest}"
    if not wanted.is_dir():
        wanted.parent.mkdir(parents=True, exist_ok=True)
        build = Path(tempfile.mkdtemp(prefix=f".{wanted.name}-", dir=wanted.parent))
        try:
            _mmdebstrap(release, variant, packages, build / "root")
            try:
                (build / "root").rename(wanted)
            except OSError:  # somebody else was quicker
                if not wanted.is_dir():
                    raise
        finally:
            shutil.rmtree(build, ignore_errors=True)
    return wanted


def _mmdebstrap(release: str, variant: str, packages: Sequence[str], target: Path) -> None:
    command = ["mmdebstrap", f"--variant={variant}", f"--include={','.join(packages)}"]
    command += [release, str(target)]
    if uri := mirror():
        command.append(uri)
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", timeout=BUILD_TIMEOUT, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise RootError(f"mmdebstrap {release} took over {BUILD_TIMEOUT} s") from error
    if done.returncode != 0:
        raise RootError(f"mmdebstrap {release} failed:\n{done.stdout[-4000:]}")
