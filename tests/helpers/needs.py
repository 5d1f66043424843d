# SPDX-License-Identifier: MIT
"""What a test needs of the machine: a program, a module, a right. Each is tried, never guessed.

Where it is not there the test is skipped, with one line that names the remedy. Under CI it fails
instead, since there everything is to be run.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

# Which Debian package has a program, or a module, that is not called like it.
PACKAGES = {
    "bsdtar": "libarchive-tools",
    "cc": "gcc libc6-dev",
    "dh": "debhelper",
    "dh_python3": "dh-python",
    "dpkg-buildpackage": "dpkg-dev",
    "groff": "groff-base",
    "java": "default-jre-headless",
    "journalctl": "systemd",
    "man": "man-db",
    "rpmbuild": "rpm",
    "ruby": "ruby-openid-connect",
    "setpriv": "util-linux",
    "systemd-analyze": "systemd",
    "systemd-socket-activate": "systemd",
    "aiohttp": "python3-aiohttp",
    "idna": "python3-idna",
    "dbus_fast": "python3-dbus-fast",
    "feedparser": "python3-feedparser",
    "jinja2": "python3-jinja2",
    "jsonschema": "python3-jsonschema",
    "lxml": "python3-lxml",
    "referencing": "python3-jsonschema",
    "prometheus_client": "python3-prometheus-client",
    "redis": "python3-redis",
    "redis-check-rdb": "redis-tools",
    "promtool": "prometheus",
    "systemd": "python3-systemd",
    "vobject": "python3-vobject",
}
NOBODY = 65534  # uid and gid of who owns nothing
SOMEBODY = NOBODY - 1  # another, as whom no test is run


def cannot_run(reason: str) -> NoReturn:
    """Skip the test with `reason`, one line; under CI it fails."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason, allow_module_level=True)


def programs(*names: str) -> None:
    """Need all of these programs."""
    _all_there([name for name in names if shutil.which(name) is None])


def modules(*names: str) -> None:
    """Need all of these Python modules."""
    _all_there([name for name in names if importlib.util.find_spec(name) is None])


def right(tried: Callable[[], str]) -> None:
    """Need what `tried` tries: one of the functions below. It returns why it failed, or ""."""
    if why := tried():
        cannot_run(why)


@cache
def mounts() -> str:
    """Mount in a namespace of one's own, as the superuser of this machine."""
    return _tried(
        "this process may not mount anything in a namespace of its own",
        *("unshare", "--mount", "--propagation=private", "mount", "--bind", "/tmp", "/tmp"),
    )


@cache
def mounts_as_anybody() -> str:
    """Mount in a namespace of one's own, by a user namespace where one is no superuser."""
    return _tried("no mount namespace can be had here", *namespace(), "mount", "--bind", *BOTH)


BOTH = ("/tmp", "/tmp")


def namespace() -> Sequence[str]:
    """Return the command under which a process has mounts of its own."""
    return ("unshare", "-m") if not mounts() else ("unshare", "-rm")


@cache
def tracing() -> str:
    """See the system calls of one's own processes: ptrace(2)."""
    if shutil.which("strace") is None:
        return "missing: strace; apt install strace"
    return _tried("strace may not trace here", "strace", "-f", "-o", "/dev/null", "true")


@cache
def devices() -> str:
    """Make device files: mknod(2)."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            os.mknod(Path(folder, "null"), 0o020600, os.makedev(1, 3))
        except OSError as error:
            return f"this process may make no device files: {error.strerror}"
    return ""


@cache
def giving_away() -> str:
    """Give a file to another user: chown(2)."""
    with tempfile.NamedTemporaryFile() as file:
        try:
            os.chown(file.name, SOMEBODY, SOMEBODY)
        except OSError as error:
            return f"this process may give no file away: {error.strerror}"
    return ""


@cache
def reading_anything() -> str:
    """Read a file that its mode shows to nobody, as the superuser may."""
    with tempfile.NamedTemporaryFile() as file:
        os.chmod(file.name, 0)
        try:
            Path(file.name).read_bytes()
        except OSError as error:
            return f"this process may not read everything: {error.strerror}"
    return ""


@cache
def becoming_nobody() -> str:
    """Become an ordinary user: setuid(2)."""
    program = f"import os; os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})"
    return _tried("this process may become no other user", sys.executable, "-c", program)


def _all_there(missing: Sequence[str]) -> None:
    if missing:
        packages = " ".join(dict.fromkeys(PACKAGES.get(name, name) for name in missing))
        cannot_run(f"missing: {', '.join(missing)}; apt install {packages}")


def _tried(why: str, *argv: str) -> str:
    """Return "" where the command does well, else `why` and what it said."""
    try:
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{why}: {error}"
    if done.returncode == 0:
        return ""
    said = done.stderr.strip().splitlines()
    return f"{why}: {said[-1] if said else f'status {done.returncode}'}"
