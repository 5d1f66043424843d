# SPDX-License-Identifier: MIT
"""Machines of a fleet that share its store: the way to it, and the password for it."""

from __future__ import annotations

from ..machine import Machine
from . import network
from .fleet import EXAMPLES
from .store import MASTER, PORT, SERVICES, WATCH

URL = f"redis://{network.STORE}:{PORT}"
SENTINEL = f"redis+sentinel://{network.STORE}:{WATCH}/{MASTER}"
# The way out as the drop-in gives it. $1: the unit.
WAY_OUT = f"""
folder=/run/systemd/system/$1.d
install -d "$folder"
sed "s/^IPAddressAllow=.*/IPAddressAllow={network.STORE} {network.REPLICA}/" \\
    "{EXAMPLES}/$1.d/store.conf" >"$folder/store.conf"
systemctl daemon-reload
"""
SECTION = """
[store]
url = "{url}"
credential = "fingerd-sd-store"
ttl = 0.2
hosts = ["login1", "login2", "login3"]
"""


def share(machine: Machine, unit: str, url: str = URL) -> str:
    """Let a unit of `machine` reach the store; return what its configuration says of that."""
    for file, user in SERVICES.items():
        machine.write(f"/etc/credstore/{file}", f"fingerd-{user}:{user}\n", mode=0o600)
    machine.run("sh", "-euc", WAY_OUT, "sh", unit)
    return SECTION.format(url=url)
