# SPDX-License-Identifier: MIT
"""The networks of a fleet: they are in the hub's network namespace, nothing of them is outside.

`INSIDE` is the bridge on which all machines are. `OUTSIDE` is where the clients are, in a network
namespace of their own: the hub has an address in both, and forwards nothing.
"""

from __future__ import annotations

import subprocess

from ..machine import Machine

BALANCER = "192.0.2.1"
STORE, REPLICA = "192.0.2.5", "192.0.2.6"
MACHINES = {
    "one": "192.0.2.11",  # as in the example of HAProxy's configuration
    "two": "192.0.2.12",
    "login1": "192.0.2.21",
    "login2": "192.0.2.22",
    "login3": "192.0.2.23",
}
FRONT = "198.51.100.1"  # where clients ask
CLIENTS = [f"198.51.100.{last}" for last in range(7, 23)]

HUB = f"""
ip link add fleet type bridge
for address in {BALANCER} {STORE} {REPLICA}; do ip address add $address/24 dev fleet; done
ip link set fleet up
ip netns add far
ip link add near type veth peer name far netns far
ip address add {FRONT}/24 dev near
ip link set near up
for address in {" ".join(CLIENTS)}; do ip -n far address add $address/24 dev far; done
ip -n far link set lo up
ip -n far link set far up
"""
PORT = """
ip link delete "$1" 2>/dev/null || true  # of one that was killed
ip link add "$1" type veth peer name fleet0 address "$3" netns "$2"
ip link set "$1" master fleet up
"""
PLUG = """
ip address add "$1"/24 dev fleet0
ip link set fleet0 up
"""


def build(hub: Machine) -> None:
    """Make the networks in `hub`."""
    hub.run("sh", "-euc", HUB)


def join(hub: Machine, machine: Machine, name: str) -> None:
    """Put `machine` on the bridge, by its name of MACHINES. Its port is gone when it ends."""
    into = ["nsenter", "-t", str(hub.outside(1)), "-n"]
    # The same after a reboot: neighbours keep it.
    station = f"02:00:00:00:02:{MACHINES[name].rpartition('.')[2]}"
    port = [*into, "sh", "-euc", PORT, "sh", name, str(machine.outside(1)), station]
    subprocess.run(port, check=True, capture_output=True)
    machine.run("sh", "-euc", PLUG, "sh", MACHINES[name])


def far(*argv: str) -> list[str]:
    """Return the command of the hub that runs `argv` where the clients are."""
    return ["ip", "netns", "exec", "far", *argv]
