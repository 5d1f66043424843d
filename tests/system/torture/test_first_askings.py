# SPDX-License-Identifier: MIT
"""What the time of a first answer tells of a name: 10,000 that are absent, and as many of each kind
that nobody is told of, over loopback and from another network namespace. Nothing is kept yet when
it is asked for.

Both run before all else on this machine, so that it is the service's time that is measured.
AUC: of a name of one kind and one of another, how often the one's answer takes longer. 0.5 tells
nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from ..finger import ABSENT, SERVICE, Finger
from ..machine import Machine
from . import first_askings
from .figures import figure
from .stand_ins import SWITCH, asked_before, install_library, instead
from .two_samples import all_pairs

EACH = 10_000
AUC = 0.55
PACE = 400.0  # askings a second, so few that hardly any waits for another
AHEAD = ("chrt", "--rr", "1")
HUNG = 1200.0  # seconds
LIBRARY = "/usr/lib/libnss_many.so.2"
HOMES = "/home/many"
STAFF = "192.0.2.1"  # nobody has it
PROGRAM = "/run/first_askings.py"
NAMESPACE = "outside"

# The first letter of a name: many.c knows all but the first of these.
KINDS = {
    "absent": "a",
    "hidden by .nofinger": "b",
    "a home that cannot be searched": "c",
    "without a plan": "d",
    "denied by audiences": "e",
}
FIRST_DENIED = 40_000  # uid

# Where the client is, its addresses and the service's.
PLACES = {
    "over loopback": ("127.0.0.1", "127.0.0", []),
    "over a veth pair": ("10.79.1.1", "10.79.1", ["nsenter", f"--net=/run/netns/{NAMESPACE}"]),
}

# Owned by the account, as many.c numbers it.
MAKE = """
import os, sys
homes, each = sys.argv[1], int(sys.argv[2])
for place, kind in enumerate("bcde"):
    os.makedirs(f"{homes}/{kind}")
    for number in range(each):
        uid, home = 10000 * (1 + place) + number, f"{homes}/{kind}/{number:05}"
        os.mkdir(home)
        for name in {"b": (".plan", ".nofinger"), "d": ()}.get(kind, (".plan",)):
            with open(f"{home}/{name}", "w") as file:
                file.write("out of sight")
                os.fchown(file.fileno(), uid, uid)
        os.chmod(home, 0o700 if kind == "c" else 0o755)
        os.chown(home, uid, uid)
"""

CONFIGURATION = f"""
[server]
log_queries = false
max_connections = 8192
max_per_client = 8192

[[source]]
type = "accounts"
audiences = ["staff"]
min_uid = {FIRST_DENIED}

[[source]]
type = "accounts"
max_uid = {FIRST_DENIED - 1}

[[audience]]
name = "staff"
networks = ["{STAFF}/32"]

[[audience]]
name = "everyone"
rate = 0
"""

# A veth pair; the client's end has addresses of its own, since it is a machine of its own.
OUTSIDE = f"""
ip netns add {NAMESPACE}
ip link add inside type veth peer name outside netns {NAMESPACE}
ip address add 10.79.1.1/24 dev inside
ip link set inside up
for last in 2 3 4 5 6 7 8 9; do
    ip -n {NAMESPACE} address add 10.79.1.$last/24 dev outside
done
ip -n {NAMESPACE} link set outside up
"""


@pytest.fixture(scope="module")
def crowd(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """EACH accounts of each kind, and a client elsewhere."""
    install_library(machine, "many.c", LIBRARY, tmp_path_factory.mktemp("many"))
    machine.write(PROGRAM, Path(first_askings.__file__).read_text(encoding="utf-8"))
    machine.run("mkdir", "-p", HOMES)
    with instead(machine, SWITCH, asked_before(machine, "many", "systemd")):
        try:
            machine.run("mount", "-t", "tmpfs", "-o", "mode=755,nr_inodes=0", "tmpfs", HOMES)
            machine.run("python3", "-", HOMES, str(EACH), stdin=MAKE, timeout=HUNG)
            machine.run("sh", "-euc", OUTSIDE)
            yield
        finally:
            machine.run("ip", "netns", "delete", NAMESPACE, check=False)
            machine.run("ip", "link", "delete", "inside", check=False)
            machine.run("umount", "--lazy", HOMES, check=False)


def names(kind: str) -> list[str]:
    return [f"{KINDS[kind]}{number:05}" for number in range(EACH)]


def are_what_they_are_called(finger: Finger) -> None:
    """See that nobody is told of any kind, and for the reason that it is called by."""
    assert {finger.ask(names(kind)[-1]) for kind in KINDS} == {ABSENT}
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]

    def explained(kind: str) -> str:
        told = finger.machine.run(
            *nobody, "fingerd-sd", "ask", "--explain", names(kind)[0], check=False
        )
        return told.stderr

    assert "no such account" in explained("absent")
    assert ".nofinger exists" in explained("hidden by .nofinger")
    assert "Permission denied" in explained("a home that cannot be searched")
    assert "no readable ~/.plan" in explained("without a plan")
    denied = names("denied by audiences")[0]
    told = finger.machine.run(*nobody, "fingerd-sd", "ask", "--from", STAFF, denied)
    assert "out of sight" in told.stdout


@pytest.mark.parametrize("place", PLACES)
def test_the_time_of_a_first_answer_tells_nothing(
    finger: Finger, crowd: None, place: str, tell: Callable[[str, str], None]
) -> None:
    host, network, inside = PLACES[place]
    processors = os.sched_getaffinity(0)
    finger.drop_in(f"[Service]\nCPUAffinity={min(processors)}\n", SERVICE)
    pid = finger.serve(CONFIGURATION)
    finger.machine.run("chrt", "--rr", "--all-tasks", "--pid", "1", str(pid))
    are_what_they_are_called(finger)
    askings = first_askings.Askings(
        host=host,
        sources=[f"{network}.{last}" for last in range(2, 10)],
        names={kind: names(kind) for kind in KINDS},
        answer=ABSENT.decode(),
        pace=PACE,
        most=4096,
        processor=max(processors),
    )
    command = [*inside, *AHEAD, "python3", PROGRAM, "-"]
    task = json.dumps(asdict(askings))
    seen = json.loads(finger.machine.run(*command, stdin=task, timeout=HUNG).stdout)
    assert seen["wrong"] == {}
    assert finger.pid() == pid
    pairs = all_pairs(seen["times"])
    for pair, told in pairs.items():
        print(*pair, told, sep=", ")
    most = max(pairs, key=lambda pair: pairs[pair].apart)
    beyond = sum(told.apart > AUC for told in pairs.values())
    shift = max(abs(told.shift) for told in pairs.values()) / 1000
    tell(
        f"{EACH:,} first askings of each of {len(KINDS)} kinds {place}",
        f"AUC at most {figure(pairs[most].apart, AUC, places=3)}, {most[0]} and {most[1]};"
        f" {beyond} of {len(pairs)} pairs beyond it; medians at most {shift:.0f} µs apart",
    )
