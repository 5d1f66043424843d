# SPDX-License-Identifier: MIT
"""What the figures were measured on: machine, kernel, versions."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from pathlib import Path

from . import build
from .peers import PYTHON, ROOT
from .process import LOAD_CORE, SERVER_CORE


def _said(*argv: str) -> str:
    """Return the first line that a program prints, "" where there is none."""
    try:
        done = subprocess.run(
            argv,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=20,
            text=True,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return (done.stdout.strip().splitlines() or [""])[0]


def _read(path: str, key: str = "") -> str:
    """Return the file's text, or what stands behind `key` in it."""
    try:
        text = Path(path).read_text()
    except OSError:
        return ""
    for line in text.splitlines():
        if line.startswith(key):
            return line.removeprefix(key).strip(' \t:="')
    return ""


def _peers() -> str:
    found = [
        deb.name.split("_")[0] + " " + deb.name.split("_")[1]
        for deb in sorted((build.CACHE / "debian").glob("*/*.deb"))
    ]
    python = build.CACHE / "venv/bin/python3"
    for package in build.PYPI:
        if python.exists():
            code = f"from importlib.metadata import version; print(version('{package}'))"
            found.append(f"{package} {_said(str(python), '-c', code)}")
    found.append(_said("go", "version").removeprefix("go version "))
    return ", ".join(one for one in found if one)


def machine() -> dict[str, str]:
    """Return what a reader needs to know to judge the figures."""
    tcp = "/proc/sys/net/ipv4"
    same = " (the same: nothing can be told from throughput)" if SERVER_CORE == LOAD_CORE else ""
    facts = {
        "date": time.strftime("%Y-%m-%d"),
        "revision": _said("git", "describe", "--always", "--dirty"),
        "processor": f"{_read('/proc/cpuinfo', 'model name')}, {os.cpu_count()} cores",
        "cores": f"servers on {SERVER_CORE}, load on {LOAD_CORE}{same}",
        "load average at the start": f"{os.getloadavg()[0]:.1f}",
        "kernel": platform.release(),
        "system": _read("/etc/os-release", "PRETTY_NAME="),
        "TCP": f"{_read(f'{tcp}/tcp_congestion_control')}, "
        f"somaxconn {_read('/proc/sys/net/core/somaxconn')}, "
        f"max_dgram_qlen {_read('/proc/sys/net/unix/max_dgram_qlen')}",
        "Python": _said(PYTHON, "--version"),
        "compiler": _said("cc", "--version"),
        "peers": _peers(),
    }
    return {key: value for key, value in facts.items() if value}
