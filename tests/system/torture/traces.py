# SPDX-License-Identifier: MIT
"""Everywhere that a trace of what must not be told may be left on a machine."""

from __future__ import annotations

import json
from collections.abc import Iterable

from ..finger import SERVICE, SOCKET, Finger
from ..machine import Machine

# Goes through files, not pipes and sockets; what to look for comes in hexadecimal, so that this
# process does not find itself.
SEARCH = """
import json, os, stat, sys
needles = [bytes.fromhex(needle) for needle in json.load(sys.stdin)]
for top in ("/run", "/var", "/tmp", "/etc", "/root"):
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            try:
                if not stat.S_ISREG(os.lstat(path).st_mode):
                    continue
                with open(path, "rb") as file:
                    octets = file.read().lower()
            except OSError:
                continue
            if any(needle in octets for needle in needles):
                print(path)
"""


def files_with(machine: Machine, needles: Iterable[bytes]) -> list[str]:
    """Return the files that hold one of `needles`, which are in small letters; case is ignored."""
    search = json.dumps([needle.hex() for needle in needles])
    return machine.run("python3", "-c", SEARCH, stdin=search, timeout=120).stdout.splitlines()


def told(finger: Finger) -> str:
    """Return what systemd tells of the service: its status and all that it knows of the units."""
    units = (SOCKET, SERVICE)
    systemctl = finger.machine.systemctl
    return systemctl("status", "--lines=1000", *units, check=False) + systemctl("show", *units)


def exported(finger: Finger) -> str:
    """Return the whole journal since the test began: all fields, those that journald adds too."""
    finger.machine.run("journalctl", "--sync")
    command = ["journalctl", "--quiet", "--all", "-o", "export", f"--after-cursor={finger.since}"]
    return finger.machine.run(*command, timeout=120).stdout


def holding(text: str, needles: Iterable[bytes]) -> list[str]:
    """Return those of `needles`, which are in small letters, that `text` holds."""
    octets = text.encode("utf-8", "surrogateescape").lower()
    return [needle.decode("latin-1") for needle in needles if needle in octets]
