# SPDX-License-Identifier: MIT
"""The store of a fleet, on its hub: a server with a small disk, a replica and Sentinel for it.

It is Debian's own package of the release, Redis or Valkey, by the template unit that this has, and
set up as our example says. The password of each of its users is the user's own name there.
"""

from __future__ import annotations

import hashlib

from ..machine import Machine
from ..waiting import wait_for
from .fleet import EXAMPLES
from .network import REPLICA, STORE

PORT, WATCH = 6379, 26379
MASTER = "fingers"
DISK = 24  # MiB
# Which user of the store each file with a password is for.
SERVICES = {"fingerd-sd-reader": "reader", "fingerd-sd-writer": "writer"}
USERS = ("admin", *SERVICES.values(), "replica", "sentinel")
AS_ADMIN = ("--user", "admin", "-a", "admin")
PASSWORDS = ";".join(f"s/#{user} /#{hashlib.sha256(user.encode()).hexdigest()} /" for user in USERS)
# $1: the name of the package; $2: what differs for this release. What is set up for all servers.
SET_UP = f"""
cd {EXAMPLES}/store
sed "s|/etc/redis|/etc/$1|" redis.conf >/etc/$1/fingerd-sd.conf
sed "$2;{PASSWORDS}" users.acl >/etc/$1/users.acl
chown $1: /etc/$1/fingerd-sd.conf /etc/$1/users.acl
"""
# Redis 7.0 has no WAITAOF, so whoever writes asks how it is set up.
OLD = {"redis": "/^user fingerd-writer /s/$/ +config|get/", "valkey": ""}
# What differs for each server. The journal has its log.
SERVER = """
include /etc/{make}/{make}.conf
include /etc/{make}/fingerd-sd.conf
bind {address}
replica-announce-ip {address}
dir {folder}
logfile ""
pidfile /run/{make}-{name}/{make}-server.pid
aof-load-truncated yes
auto-aof-rewrite-percentage 0
repl-diskless-sync-delay 0
masteruser replica
masterauth replica
"""
# At a full disk a server with `appendfsync always` ends at each write. After five within ten
# seconds systemd would not start it again, whatever room there is.
UNIT = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestartSec=500ms\n"
FOLLOWS = f"replicaof {STORE} {PORT}\n"
SENTINEL = """
bind {address}
protected-mode no
port {watch}
daemonize no
dir /var/lib/{make}
sentinel monitor {master} {store} {port} 1
sentinel auth-user {master} sentinel
sentinel auth-pass {master} sentinel
sentinel down-after-milliseconds {master} 1000
sentinel failover-timeout {master} 5000
"""
# $1: the name of the package; the rest: the folders of its servers.
RENEW = """
make=$1; shift
systemctl stop $make-sentinel.service "$make-server@*.service"
systemctl reset-failed
for folder; do
    umount -q "$folder" || true
    install -d -o $make -g $make "$folder"
    mount -t tmpfs -o size=DISKm,uid=$make,gid=$make,mode=0750 $make "$folder"
done
"""


class Store:
    """The store; `make`: the name of its package. `main` is the server until a failover."""

    def __init__(self, hub: Machine, make: str) -> None:
        self.hub, self.make = hub, make
        hub.write(f"/etc/systemd/system/{make}-server@.service.d/fingers.conf", UNIT)
        hub.systemctl("daemon-reload")
        hub.run("sh", "-euc", SET_UP, "sh", make, OLD[make])

    def renew(self) -> None:
        """Stop all, and have empty servers of which none is started."""
        folders = [self._folder(name) for name in ("main", "replica")]
        script = RENEW.replace("DISK", str(DISK))
        self.hub.run("sh", "-euc", script, "sh", self.make, *folders)
        for name, address, more in (("main", STORE, ""), ("replica", REPLICA, FOLLOWS)):
            self._write(f"{self.make}-{name}", SERVER + more, name=name, address=address)
        self._write("sentinel", SENTINEL, name="", address=STORE)

    def unit(self, name: str = "main") -> str:
        """Return the unit of a server."""
        return f"{self.make}-server@{name}.service"

    def start(self, name: str = "main") -> None:
        """Start a server; return when it answers."""
        self.hub.systemctl("start", self.unit(name))
        self.wait(name)

    def wait(self, name: str = "main") -> None:
        """Wait until a server answers."""
        asked = ("PING",)
        wait_for(lambda: self.tell(*asked, name=name, check=False) == "PONG", f"{name} to answer")

    def restarts(self) -> int:
        """Return how often systemd has restarted the server that failed."""
        return int(self.hub.show(self.unit(), "NRestarts"))

    def stop(self, name: str = "main") -> None:
        """Stop a server."""
        self.hub.systemctl("stop", self.unit(name))

    def tell(self, *words: str, name: str = "main", check: bool = True) -> str:
        """Send a command to a server by the client of its package; return what it says."""
        address = {"main": STORE, "replica": REPLICA}[name]
        client = (f"{self.make}-cli", "-h", address, "-p", str(PORT), "--no-auth-warning")
        said = self.hub.run(*client, *AS_ADMIN, *words, check=check)
        return said.stdout.strip()

    def fill(self) -> None:
        """Leave no room on the disk of the store; what it is told from then on is too much."""
        self.hub.run("dd", "if=/dev/zero", f"of={self._folder()}/filler", "bs=4k", check=False)
        self.tell("SET", "filler", "x" * 8192, check=False)  # what is left of the last page

    def empty(self) -> None:
        """Make room again."""
        self.hub.run("rm", "-f", f"{self._folder()}/filler")

    def watch(self) -> None:
        """Start the replica, and Sentinel; return when they know each other."""
        self.start("replica")
        self.hub.systemctl("start", f"{self.make}-sentinel.service")
        wait_for(lambda: "state=online" in self.tell("INFO", "replication"), "a replica")
        wait_for(lambda: "num-slaves\n1\n" in self._sentinel(), "Sentinel to know the replica")

    def master(self) -> str:
        """Return the address that Sentinel has for the server."""
        asked = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)
        return self._ask_sentinel(*asked).splitlines()[0]

    def _sentinel(self) -> str:
        return self._ask_sentinel("SENTINEL", "MASTER", MASTER)

    def _ask_sentinel(self, *words: str) -> str:
        return self.hub.run(f"{self.make}-cli", "-h", STORE, "-p", str(WATCH), *words).stdout

    def _folder(self, name: str = "main") -> str:
        return f"/var/lib/{self.make}/{name}"

    def _write(self, file: str, text: str, name: str, address: str) -> None:
        filled = text.format(
            make=self.make, folder=self._folder(name), name=name, address=address,
            master=MASTER, store=STORE, port=PORT, watch=WATCH,
        )  # fmt: skip
        self.hub.write(f"/etc/{self.make}/{file}.conf", filled, mode=0o640, owner=self.make)
