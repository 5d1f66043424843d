# SPDX-License-Identifier: MIT
"""What stands on a machine in place of what is there else: a file, its text, an NSS module."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from ..machine import Machine

SWITCH = "/etc/nsswitch.conf"


@contextlib.contextmanager
def there(machine: Machine, path: str) -> Iterator[None]:
    """Have the file `path` while this lasts."""
    machine.run("touch", path)
    try:
        yield
    finally:
        machine.run("rm", "-f", path)


@contextlib.contextmanager
def instead(machine: Machine, path: str, text: str) -> Iterator[None]:
    """Have `text` in the file `path` while this lasts."""
    before = machine.run("cat", path).stdout
    machine.write(path, text)
    try:
        yield
    finally:
        machine.write(path, before)


def asked_before(machine: Machine, module: str, other: str) -> str:
    """Return an nsswitch.conf(5) by which `module` is asked for users before `other`."""
    switch = machine.run("cat", SWITCH).stdout.replace(f" {other}", f" {module} {other}", 1)
    assert module in switch.partition("group:")[0]
    return switch


def install_library(machine: Machine, source: str, path: str, folder: Path) -> None:
    """Put what the C file `source` of this folder makes at `path`; it is built in `folder`."""
    built = folder / Path(path).name
    text = Path(__file__).with_name(source)
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", built, text], check=True)
    machine.write(path, built.read_bytes().decode("utf-8", "surrogateescape"), mode=0o755)
