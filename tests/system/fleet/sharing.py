# SPDX-License-Identifier: MIT
"""Machines of a fleet that share its store: the way to it, and the password for it."""

from __future__ import annotations

from ..machine import Machine
from . import network
from .store import MASTER, PORT, SECRET, WATCH

URL = f"redis://{network.STORE}:{PORT}"
SENTINEL = f"redis+sentinel://{network.STORE}:{WATCH}/{MASTER}"
PASSWORD = "/etc/fingerd-sd/store-password"
# As finger-presence.service(5) and fingerd.toml(5) say: the way out to the store, and no other.
WAY_OUT = f"""
[Service]
PrivateNetwork=no
RestrictAddressFamilies=AF_INET AF_INET6
IPAddressAllow={network.STORE} {network.REPLICA}
LoadCredential=store:{PASSWORD}
"""
SECTION = """
[store]
url = "{url}"
credential = "store"
ttl = 0.2
hosts = ["login1", "login2", "login3"]
"""


def share(machine: Machine, unit: str, url: str = URL) -> str:
    """Let a unit of `machine` reach the store; return what its configuration says of that."""
    machine.write(PASSWORD, SECRET, mode=0o600)
    machine.write(f"/run/systemd/system/{unit}.d/store.conf", WAY_OUT)
    machine.systemctl("daemon-reload")
    return SECTION.format(url=url)
