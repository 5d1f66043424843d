# SPDX-License-Identifier: MIT
"""A fleet of booted machines: a hub with the networks, the balancer and the store; two servers that
it balances; three login hosts.
"""

from __future__ import annotations

import csv
import os
import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from ...helpers.ended import Ended
from ..finger import Finger
from ..machine import Machine
from ..torture.load import Load
from ..torture.programs import Asking
from ..waiting import wait_for
from . import network

SERVERS = ("one", "two")
LOGIN_HOSTS = ("login1", "login2", "login3")
PROXY = "finger-proxy.socket"
EXAMPLES = "/usr/share/doc/fingerd-sd/examples"
ALLOWED = f"[Socket]\nIPAddressAllow={network.BALANCER}\n"
# As the example says: behind the sections global and defaults, which are Debian's.
BALANCER = f"""
cat {EXAMPLES}/haproxy/haproxy.cfg >> /etc/haproxy/haproxy.cfg
haproxy -c -f /etc/haproxy/haproxy.cfg
systemctl start haproxy.service
"""
SAY = "echo {words} | nc -U -N -w 10 /run/haproxy/admin.sock"
CLIENTS = 16


class Fleet(Ended):
    """The machines by their names, `hub` too; all have the package."""

    def __init__(self, release: str, root: Path) -> None:
        self.release, self._root = release, root
        self.machines: dict[str, Machine] = {}
        # A machine lives no longer than the thread that booted it.
        self._threads = ThreadPoolExecutor(16, "boot")
        try:
            names = ["hub", *network.MACHINES]
            booting = {name: self._threads.submit(self._boot, name) for name in names}
            failed = [error for it in booting.values() if (error := it.exception())]
            if failed:
                raise failed[0]
            self.hub = self.machines["hub"]
            network.build(self.hub)
            for name in network.MACHINES:
                network.join(self.hub, self.machines[name], name)
        except BaseException:
            self.leave()
            raise

    def leave(self, failed: bool = False) -> None:
        """Power all machines off, the one with the networks last."""
        with ExitStack() as stack:
            stack.callback(self._threads.shutdown)
            for name in sorted(self.machines, key=lambda name: name != "hub"):
                stack.callback(self.machines.pop(name).close)

    def fingers(self, *names: str) -> list[Finger]:
        """Return the service of these machines, as from now on."""
        return [Finger(self.machines[name]) for name in names]

    def kill(self, name: str) -> None:
        """Have a machine end as by a cut of its power."""
        machine = self.machines.pop(name)
        os.kill(machine.outside(1), signal.SIGKILL)
        machine.close()

    def boot(self, name: str) -> Machine:
        """Boot a machine anew that was killed: it has the package, and nothing else."""
        machine = self._threads.submit(self._boot, name).result()
        network.join(self.hub, machine, name)
        return machine

    def _boot(self, name: str) -> Machine:
        machine = self.machines[name] = Machine(self.release, self._root, use=name)
        machine.run("hostname", name)
        return machine

    # The balancer.

    def balance(self, *servers: Finger) -> None:
        """Open the servers' sockets for the balancer, and start it. Return when all are well."""
        for server in servers:
            server.configure("")
            self.open(server)
        self.hub.run("sh", "-euc", BALANCER)
        for name in SERVERS:
            self.wait_until_well(name)

    def open(self, server: Finger) -> None:
        """Open a server's sockets, one of them for the balancer alone."""
        server.drop_in(ALLOWED, PROXY)
        server.machine.systemctl("enable", "--now", server.socket, PROXY)

    def say(self, words: str) -> str:
        """Tell HAProxy something by its own socket; return what it says."""
        return self.hub.run("sh", "-c", SAY.format(words=words)).stdout

    def well(self, name: str) -> bool:
        """Whether HAProxy found a server well when it last asked it."""
        row = self._row(name)
        return row["status"] == "UP" and row["check_status"] == "L7OK"

    def wait_until_well(self, name: str) -> None:
        """Wait until HAProxy has found a server well."""
        wait_for(lambda: self.well(name), f"{name} to be well", note=lambda: self._row(name))

    def wait_for_rest(self, name: str) -> None:
        """Wait until HAProxy has no connection to a server."""
        wait_for(lambda: self._row(name)["scur"] == "0", f"{name} to have no connection")

    def _row(self, name: str) -> dict[str, str]:
        table = csv.DictReader(self.say("show stat").removeprefix("# ").splitlines())
        (row,) = (it for it in table if (it["pxname"], it["svname"]) == ("finger", name))
        return row

    # Clients in the other network.

    def ask(self, line: str, client: str = network.CLIENTS[0], to: str = network.FRONT) -> str:
        """Return the answer that a client gets, through the balancer unless `to` says otherwise."""
        netcat = network.far("nc", "-w", "60", "-s", client, to, "79")
        return self.hub.run(*netcat, stdin=f"{line}\r\n").stdout

    def asking(self, load: Load) -> Asking:
        """Return clients that ask through the balancer from all addresses, until they are told."""
        load.hosts, load.sources = (network.FRONT,), tuple(network.CLIENTS)
        return Asking(self.hub, load, by=network.far())

    def diary(self) -> str:
        """Return the end of every journal, for a person to read."""
        command = ("journalctl", "--no-pager", "-o", "short-precise", "-n", "60")
        return "\n\n".join(
            f"{name}:\n{machine.run(*command, check=False).stdout}"
            for name, machine in self.machines.items()
        )


def need_one_server_each(servers: Sequence[Finger], line: str, one: str, audience: str) -> None:
    """Assert that each of CLIENTS, who asked `line`, is in the journal of exactly one of `servers`,
    by its own address and audience: `one` in `audience`, all the rest in "others".
    """
    heard = []
    for server in servers:
        entries = server.wait_for_log(FINGER_QUERY=line)
        heard.append({entry["FINGER_CLIENT"] for entry in entries})
        for entry in entries:
            expected = audience if entry["FINGER_CLIENT"] == one else "others"
            assert entry["FINGER_AUDIENCE"] == expected
    assert heard[0] | heard[1] == set(network.CLIENTS)
    assert not heard[0] & heard[1]
