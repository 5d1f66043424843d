# SPDX-License-Identifier: MIT
"""Whether the services, as they are set up on this machine, give what a configuration needs.

For `check` only, and only to warn: it asks systemd if there is one, and otherwise says nothing. A
source itself says what it needs (directory/source.py, `Needs`).
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from fingerd_sd.directory.source import Needs

UNIT, SOCKET, PROXY_SOCKET = "finger.service", "finger.socket", "finger-proxy.socket"
ASK = 5.0  # seconds that systemd gets to answer
PROPERTIES = (
    *("LoadState", "PrivateNetwork", "RestrictAddressFamilies", "NoExecPaths", "ExecPaths"),
    *("IPAddressAllow", "IPAddressDeny"),
)
WEB, WEB_SOCKET = "finger-web.service", "finger-web.socket"
PUBLISH, PUBLISH_SOCKET = "finger-publish.service", "finger-publish.socket"
PRESENCE = "finger-presence.service"


def effective_unit(unit: str = UNIT) -> Mapping[str, str] | None:
    """Return PROPERTIES of a service with its drop-ins; None if there is no systemd to ask, or no
    such unit. systemctl(1), show.
    """
    shown = _shown(unit, *PROPERTIES)
    return shown if shown.get("LoadState") == "loaded" else None


def is_enabled(unit: str) -> bool:
    """Whether `unit` is active, or will be when this machine starts."""
    state = _shown(unit, "UnitFileState", "ActiveState")
    return state.get("UnitFileState") == "enabled" or state.get("ActiveState") == "active"


def credentials(unit: str) -> Mapping[str, str] | None:
    """Return the files of the credentials that a service gets by LoadCredential=, by name; None: it
    is not known. systemctl(1) cannot show them, busctl(1) can.
    """
    path = "".join(c if c.isalnum() else f"_{ord(c):02x}" for c in unit)
    place = ("org.freedesktop.systemd1", f"/org/freedesktop/systemd1/unit/{path}")
    asked = (*place, "org.freedesktop.systemd1.Service", "LoadCredential")
    try:
        said = shlex.split(_said("busctl", "get-property", *asked))
    except ValueError:
        return None
    return dict(zip(said[2::2], said[3::2], strict=False)) if said[:1] == ["a(ss)"] else None


def _shown(unit: str, *properties: str) -> Mapping[str, str]:
    """Return `properties` of `unit`; none if there is no systemd to ask."""
    said = _said("systemctl", "show", unit, *(f"--property={name}" for name in properties))
    return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)


def _said(*command: str) -> str:
    """Return what a command of systemd's says; "" if it fails, as where there is no systemd."""
    try:
        done = subprocess.run(  # noqa: S603  # found by PATH, as by the administrator's shell
            command, check=True, capture_output=True, text=True, timeout=ASK, errors="replace"
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def missing(
    needs: Sequence[tuple[str, Needs]], unit: Mapping[str, str], name: str = UNIT
) -> Iterator[str]:
    """Return what is missing in `unit`, a value for each of PROPERTIES, with the remedy. `needs`:
    the names of sources, and what each needs. `name`: the unit's.
    """
    see = f"{name}(5), and `systemctl edit {name}`"
    network = [who for who, need in needs if need.network]
    if network and (why := no_network(unit)):
        yield (
            f"{', '.join(network)}: needs the network, and {name} has {why}; install the drop-in"
            f" outbound.conf: {see}"
        )
    for who, need in needs:
        for program in need.programs:
            if not _may_run(program, unit):
                yield (
                    f"{who}: {name} may not run {program}; install the drop-in command.conf, with"
                    f" ExecPaths={program}: {see}"
                )


def no_network(unit: Mapping[str, str]) -> str:
    """Return the line that keeps `unit` off the network; "" if there is none."""
    if unit.get("PrivateNetwork") == "yes":
        return "PrivateNetwork=yes"
    families = unit.get("RestrictAddressFamilies", "")
    if not families or families == "none":  # systemd.exec(5): nothing is restricted, or all is
        return "RestrictAddressFamilies=none" if families else ""
    denied = families.startswith("~")
    if denied == ("AF_INET" in families.lstrip("~").split()):
        return f"RestrictAddressFamilies={families}"
    return ""


def _may_run(program: str, unit: Mapping[str, str]) -> bool:
    """Whether NoExecPaths= and ExecPaths= allow `program` to run: the longest path that holds it
    decides. systemd.exec(5).
    """
    path = PurePosixPath(program)
    no, yes = (_longest(path, unit.get(name, "")) for name in ("NoExecPaths", "ExecPaths"))
    return yes >= no


def _longest(path: PurePosixPath, paths: str) -> int:
    """Return the number of parts of the longest of `paths` that is `path` or a folder above it."""
    folders = (PurePosixPath(word.lstrip("-+")) for word in paths.split())
    return max((len(f.parts) for f in folders if path.is_relative_to(f)), default=0)
