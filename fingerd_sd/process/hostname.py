# SPDX-License-Identifier: MIT
"""What this machine is called, as far as it knows without asking the network: hostname(1) asks DNS
for the whole name, which may take seconds, and the service has no network.
"""

from __future__ import annotations

import os

HOSTS = "/etc/hosts"
MAX_HOSTS_FILE = 65536  # octets: some keep lists of thousands of names there
LOCALHOST = "localhost"


def own_name() -> str:
    """Return what this machine is called among others of one site: its name up to the first dot."""
    return os.uname().nodename.partition(".")[0].lower()


def names_of_this_host(name: str = "", hosts: str | os.PathLike[str] = HOSTS) -> tuple[str, ...]:
    """Return the names of this machine, in lower case: localhost; `name`, by default the host name,
    with and without its domain; the name with a domain that hosts(5) has for it. It never fails.
    """
    name = (name or os.uname().nodename).lower().removesuffix(".")
    short = name.partition(".")[0]
    names = {LOCALHOST: None, name: None, short: None}
    for word in _words(hosts):
        if word.startswith(f"{short}."):
            names[word] = None
    return tuple(filter(None, names))


def _words(hosts: str | os.PathLike[str]) -> list[str]:
    """Return the names in `hosts`, whatever their address is."""
    try:
        with open(hosts, "rb") as file:
            text = file.read(MAX_HOSTS_FILE).decode("utf-8", "replace").lower()
    except OSError:
        return []
    lines = (line.partition("#")[0].split() for line in text.splitlines())
    return [word.removesuffix(".") for line in lines for word in line[1:]]
