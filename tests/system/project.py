# SPDX-License-Identifier: MIT
"""Brings this source tree into a machine, installs it there and takes it out again.

It also installs `probe`, a third party's source (entry-point group ``fingerd_sd.sources``) that
does on demand what no good source does: crash, hang, spin, dawdle, ask for too much memory.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from .machine import Machine

TREE = Path(__file__).parents[2]
SOURCE = "/src"
KEPT_OUT = ("./.venv", "./build", "./dist", "__pycache__", ".*_cache", "*.egg-info")
DROP_INS = "/usr/local/share/doc/fingerd-sd/examples/finger.service.d"
INSTALL_TIMEOUT = 300.0  # seconds

# What a system writes by itself, and what useradd does: patterns of find -path.
VOLATILE = (
    *("/dev", "/proc", "/run", "/sys", "/tmp", "/var/tmp", "/var/log", "/var/cache"),
    *("/home", "/etc/*-", SOURCE),
)
OWN = ("(", "-not", "-type", "d", "-o", "-name", "*finger*", ")")

PROBE = '''
"""A source that misbehaves when it is told to."""
import asyncio, os, time
from fingerd_sd.protocol.entry import Text

class Probe:
    timeout = 30.0
    lifetime = 0.0  # never reuse an answer

    def __init__(self, table, name):
        self.name = name
        table.close()

    async def find(self, user):
        if user == "boom":
            os.abort()
        if user == "hang":
            time.sleep(3600)
        if user == "spin":
            while True:
                pass
        if user == "too much":
            return Text(str(len(bytearray(1 << 40))))
        if user.startswith("large"):
            return Text("x" * 79 * (1 << 15))
        if user == "year":
            return Text(str(time.gmtime(time.time()).tm_year))
        if user == "fail":
            raise RuntimeError("told to fail")
        if user == "slow":
            await asyncio.sleep(1)
            return Text("slow but sure")
        if user == "pid":
            return Text(str(os.getpid()))
        return None
'''


def bring(machine: Machine) -> None:
    """Copy the tree, as it is now and without what tools left in it, to SOURCE."""
    kept_out = [f"--exclude={pattern}" for pattern in KEPT_OUT]
    packed = subprocess.run(
        ["tar", "-C", str(TREE), "-c", "--exclude-vcs", "--owner=0", "--group=0", *kept_out, "."],
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    machine.run("mkdir", "-p", SOURCE)
    unpack = machine.command("tar", "-C", SOURCE, "-x")
    subprocess.run(unpack, input=packed, check=True)


def install(machine: Machine) -> str:
    """Install as a person does; return what was said."""
    return machine.run("make", "-C", SOURCE, "install", timeout=INSTALL_TIMEOUT).stdout


def uninstall(machine: Machine) -> str:
    """Take it out again; return what was said."""
    return machine.run("make", "-C", SOURCE, "uninstall", timeout=INSTALL_TIMEOUT).stdout


def install_probe(machine: Machine) -> None:
    """Install the source type `probe`, as a third party's package would."""
    site = machine.run(
        "python3", "-c", "import site; print(site.getsitepackages()[0])"
    ).stdout.strip()
    machine.write(f"{site}/fingerd_sd_probe.py", PROBE)
    about = f"{site}/fingerd_sd_probe-1.dist-info"
    machine.write(
        f"{about}/METADATA", "Metadata-Version: 2.1\nName: fingerd-sd-probe\nVersion: 1\n"
    )
    machine.write(
        f"{about}/entry_points.txt", "[fingerd_sd.sources]\nprobe = fingerd_sd_probe:Probe\n"
    )


def files(machine: Machine) -> set[str]:
    """Return what packages or an installation put on the machine: files, and folders of our own.

    Folders that others use as well, such as that of the manual pages, are not counted.
    """
    prune = [word for path in VOLATILE for word in ("-path", path, "-o")][:-1]
    listed = machine.run("find", "/", "(", *prune, ")", "-prune", "-o", *OWN, "-print").stdout
    return set(listed.splitlines())
