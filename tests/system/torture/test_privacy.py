# SPDX-License-Identifier: MIT
"""`log_client` as a promise: with `none` no client's address, with `prefix` no host part of one,
stands anywhere after every kind of thing that is logged has happened.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from fingerd_sd.directory.answer import RESULTS
from fingerd_sd.process.log.journal import MESSAGE_IDS

from .. import project
from ..finger import ABSENT, CONFIGURATION, FAILED, HAPPY, MALFORMED, PROMPT, SERVICE, Finger
from ..machine import Machine, read_all
from ..waiting import wait_for
from .traces import exported, files_with, holding, told

LIMITED = b"Too many queries, try again later\r\n"
RATE = 40  # queries a minute: more than all of a test but its end, less than a flood
PER_CLIENT = 4
PROXY, PROXY_PORT = "finger-proxy.socket", 1079
BIG = 8 << 20  # octets of an answer: more than the buffers of both sockets take
USERS = "/etc/fingerd-sd/big.toml"

# What an address cannot stand in: they tell of a machine, or of a site, that is unwell in a way
# that a test cannot bring about beside all the others. Each has counts and numbers only.
NOT_PROVOKED = {"ACCEPT_PAUSED", "LOG_DROPPED", "INTERNAL_ERROR", "SITE_BACK"}
# Entries of the keeper, which hears users of this machine only, and those about a store's server.
OF_NO_CLIENT = {
    *("PUBLISHED", "REMOVED", "REFUSED", "EXPIRED", "NOT_STORED"),
    *("STORE_FAILS", "STORE_BACK", "STORE_UNFIT"),
}

TEXT = f"""
[server]
log_client = "MODE"
query_timeout = 3
answer_timeout = 2
max_per_client = {PER_CLIENT}

[[audience]]
name = "asks the web"
networks = ["NETWORK"]
rate = {RATE}

[[audience]]
name = "public"
rate = {RATE}

[[source]]
type = "static"
users = {{ moshez = "Happy and well" }}
file = "{USERS}"

[[source]]
type = "probe"

[[source]]
type = "web"
url = "http://127.0.0.1:9/{{user}}"
audiences = ["asks the web"]
"""


@dataclass(frozen=True, slots=True)
class Clients:
    """Two addresses in networks that no other test uses, and what the log may have of them: a
    limited client of IPv6 is its network.
    """

    addresses: tuple[str, str]
    logged: frozenset[str]

    def needles(self, whole: bool) -> list[bytes]:
        """Return every form that an address might be found in, in small letters; `whole`: none of
        those that a network of it has as well.
        """
        four, six = map(ipaddress.ip_address, self.addresses)
        number = int(four)
        forms = [
            str(four),
            f"{number:08x}",
            f"{number >> 16:04x}:{number & 0xFFFF:04x}",  # as IPv4-mapped ones are written, too
            struct.pack("<I", number).hex(),  # as in /proc/net
            str(number),
            str(six),
            six.exploded,
            six.packed.hex(),
            str(six).rpartition("::")[2],
        ]
        if not whole:
            forms += [self.addresses[0].rpartition(".")[0] + ".", str(six).partition("::")[0]]
        return [*(form.encode() for form in forms), six.packed]


MODES = {
    "none": Clients(("198.18.77.177", "2001:db8:77:4242::77:beef"), frozenset({"-"})),
    "prefix": Clients(
        ("198.51.100.188", "2001:db8:88:4343::88:face"),
        frozenset({"198.51.100.0/24", "2001:db8:88::/48"}),
    ),
    # So that the search is seen to find what is there.
    "full": Clients(
        ("192.0.2.199", "2001:db8:99:4444::99:cafe"),
        frozenset({"192.0.2.199", "2001:db8:99:4444::99:cafe", "2001:db8:99:4444::/64"}),
    ),
}


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest, machine: Machine) -> Iterator[str]:
    """A way to log; the machine has its clients' addresses."""
    addresses = MODES[request.param].addresses
    try:
        for address in addresses:
            machine.run("ip", "address", "add", address, "dev", "lo", "nodad")
        yield request.param
    finally:
        for address in addresses:
            machine.run("ip", "address", "delete", address, "dev", "lo", check=False)


@contextlib.contextmanager
def connected(machine: Machine, address: str, port: int = 79) -> Iterator[socket.socket]:
    """A connection from `address` to itself, its buffers small."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with machine.new_socket(family) as client:
        client.settimeout(30)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.bind((address, 0))
        client.connect((address, port))
        yield client


def asked(machine: Machine, address: str, line: bytes) -> bytes:
    with connected(machine, address) as client:
        client.sendall(line + b"\r\n")
        return read_all(client)


def provoke(finger: Finger, address: str) -> None:
    """Do, from `address`, all that a client can do to be in the log."""
    machine = finger.machine
    assert asked(machine, address, b"moshez") == HAPPY
    assert asked(machine, address, b"nobody") in (ABSENT, FAILED)
    assert asked(machine, address, b"a\x1b\xff") == MALFORMED
    assert asked(machine, address, b"x@y").endswith(b"denied\r\n")
    assert asked(machine, address, b"").endswith(b"denied\r\n")
    assert asked(machine, address, b"fail") == FAILED
    with contextlib.ExitStack() as several:
        clients = [several.enter_context(connected(machine, address)) for _ in range(PER_CLIENT)]
        for client in clients:
            client.sendall(b"slowly")
        assert asked(machine, address, b"moshez") == LIMITED
        assert [read_all(client) for client in clients] == [b""] * PER_CLIENT  # timeout
    with connected(machine, address) as reader:  # stalls, so that its answer comes too late
        late = {"FINGER_QUERY": "big", "FINGER_RESULT": "timeout"}
        before = len(finger.log(**late))
        reader.sendall(b"big\r\n")
        finger.wait_for_log(before + 1, **late)
    with connected(machine, address) as client:  # leaves with a reset, in the middle of its answer
        client.sendall(b"big\r\n")
        client.recv(1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    for _ in range(2 * RATE):
        if asked(machine, address, b"moshez") == LIMITED:
            break
    else:
        raise AssertionError("the rate was never used up")


def pose(finger: Finger, address: str) -> None:
    """Be, at `address`, a balancer that sends no header."""
    finger.drop_in("[Socket]\nIPAddressAllow=any\n", PROXY)
    finger.machine.systemctl("start", PROXY)
    with connected(finger.machine, address, PROXY_PORT) as client:
        client.sendall(b"moshez\r\n")
        assert read_all(client) == b""
    finger.wait_for_log(MESSAGE_ID=MESSAGE_IDS["PROXY_REFUSED"])


def live(finger: Finger, text: str) -> None:
    """Let the service go through its life: reloads, stops, a start that fails, an idle exit."""
    systemctl = finger.machine.systemctl
    finger.configure("[server]\nlog_clients = 3\n" + text.partition("[server]")[2])
    systemctl("reload", SERVICE, check=False)
    finger.wait_for_log(MESSAGE_ID=MESSAGE_IDS["RELOAD_FAILED"])
    systemctl("restart", SERVICE, check=False)
    finger.wait_for_log(MESSAGE_ID=MESSAGE_IDS["CONFIG_ERROR"])
    systemctl("reset-failed", check=False)
    finger.configure(text)
    systemctl("start", SERVICE)
    systemctl("reload", SERVICE)
    finger.wait_for_log(MESSAGE_ID=MESSAGE_IDS["RELOADED"])
    finger.configure("[server]\nidle_exit = 1\n" + text.partition("[server]")[2])
    systemctl("restart", SERVICE)
    finger.wait_for_state("inactive")


def test_no_address_is_left_anywhere(
    finger: Finger, mode: str, tell: Callable[[str, str], None]
) -> None:
    machine, clients = finger.machine, MODES[mode]
    project.install_probe(machine)
    finger.drop_in(PROMPT)
    machine.write(USERS, f'big = "{"x" * BIG}"\n')
    four, six = clients.addresses
    text = TEXT.replace("MODE", mode).replace("NETWORK", f"{six}/128")
    finger.serve(text)
    pose(finger, four)
    provoke(finger, four)
    provoke(finger, six)
    finger.machine.run("kill", "-ABRT", str(finger.pid()))  # faulthandler tells where it was
    wait_for(lambda: machine.show(SERVICE, "NRestarts") != "0", "the restart")
    provoke(finger, four)
    status = told(finger)
    live(finger, text)
    status += told(finger)
    machine.systemctl("stop", "finger.socket", SERVICE)
    machine.run("rm", CONFIGURATION)  # it names the client's network, as the administrator may

    entries = finger.log()
    assert {entry["FINGER_RESULT"] for entry in entries if "FINGER_RESULT" in entry} == set(RESULTS)
    assert {e["FINGER_CLIENT"] for e in entries if "FINGER_CLIENT" in e} == clients.logged
    kinds = {entry.get("MESSAGE_ID") for entry in entries}
    assert {event for event, number in MESSAGE_IDS.items() if number in kinds} == (
        set(MESSAGE_IDS) - NOT_PROVOKED - OF_NO_CLIENT
    )
    assert any("Traceback" in str(entry["MESSAGE"]) for entry in entries)

    needles = clients.needles(whole=mode == "prefix")
    found, files = holding(exported(finger) + status, needles), files_with(machine, needles)
    if mode == "full":
        assert set(clients.addresses) <= set(found)
        assert any(file.endswith(".journal") for file in files)
    else:
        assert (found, files) == ([], [])
    tell(
        f"log_client = {mode}: all results and {len(kinds)} kinds of entries, then a search",
        f"{len(found)} forms of addresses in {len(entries):,} entries, in {len(files)} files",
    )
