# SPDX-License-Identifier: MIT
"""Who may not be shown cannot be told from who does not exist: by no octet, and once the answer is
kept or the rate is used up, by no measurement of the time that it takes either.

A client in the machine measures, in random order, on a processor of its own where there are two.
test_first_askings.py has the times of answers that are not kept.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator

import pytest

from ..finger import ABSENT, SERVICE, Finger
from ..machine import Machine
from .figures import figure
from .two_samples import all_pairs

LIMITED = b"Too many queries, try again later\r\n"
TRIES = 10_000  # of each
AUC = 0.55  # of two times, one of each kind, how often the one is longer: 0.5 tells nothing
APART = 1.0  # µs between two medians
HUNG = 900.0  # seconds

# As long as each other, and all of small letters: what differs is only why nobody is told of them.
ABSENT_NAME, NOFINGER, PLANLESS, CLOSED, SYSTEM, DENIED = (
    *("nobodi", "nofing", "noplan", "closed", "nouser", "staffs"),
)
KINDS = {
    "absent": ABSENT_NAME,
    "hidden by .nofinger": NOFINGER,
    "hidden without a plan": PLANLESS,
    "denied by audience": DENIED,
}
HOMES = {
    NOFINGER: "echo plan >.plan; touch .nofinger",
    PLANLESS: "true",
    CLOSED: "echo plan >.plan; chmod 700 .",
}

CONFIGURATION = f"""
[server]
log_queries = false

[[source]]
type = "static"
audiences = ["staff"]
users = {{ {DENIED} = "for the staff" }}

[[source]]
type = "accounts"

[[audience]]
name = "staff"
networks = ["127.0.0.2/32"]

[[audience]]
name = "public"
networks = ["127.0.0.0/8", "::1/128"]
rate = RATE
"""

# Reads its task as JSON, asks, and writes the nanoseconds of each try by name. `wait`: the seconds
# for which answers are surely kept; it asks within these, then waits until they are forgotten.
# Other answers than the right one are counted, and their times left out.
CLIENT = """
import collections, json, os, random, socket, sys, time

task = json.load(sys.stdin)
os.sched_setaffinity(0, {task["processor"]})
right = task["answer"].encode()
times = {name: [] for name in task["names"]}

def ask(name):
    line = (name + "\\r\\n").encode()
    with socket.create_connection((task["host"], 79)) as client:
        told = b""
        began = time.perf_counter_ns()
        client.sendall(line)
        while octets := client.recv(4096):
            told += octets
        took = time.perf_counter_ns() - began
    return took, told

order = [name for name in task["names"] for _ in range(task["tries"])]
random.shuffle(order)
others = collections.Counter()
while order:
    if task["wait"]:
        for name in task["names"]:
            ask(name)
    until = time.monotonic() + (task["wait"] or 3600)
    while order and time.monotonic() < until:
        name = order.pop()
        took, told = ask(name)
        if told == right:
            times[name].append(took)
        else:
            others[told.decode("latin-1")] += 1
    if order:
        time.sleep(1)
print(json.dumps({"times": times, "others": others}))
"""


@pytest.fixture(scope="module")
def people(machine: Machine) -> Iterator[None]:
    """An account for each of HOMES, and one that is not of a person."""
    try:
        for login, commands in HOMES.items():
            machine.run("useradd", "--create-home", login)
            become = ["setpriv", f"--reuid={login}", f"--regid={login}", "--init-groups"]
            machine.run("chmod", "755", f"/home/{login}")
            machine.run(*become, "sh", "-euc", f"cd /home/{login}; umask 022; {commands}")
        machine.run("useradd", "--system", SYSTEM)
        yield
    finally:
        for login in (*HOMES, SYSTEM):
            machine.run("userdel", "--remove", login, check=False)


def serve(finger: Finger, rate: int = 0) -> None:
    """Serve on one processor, the client's being another."""
    finger.drop_in(f"[Service]\nCPUAffinity={min(os.sched_getaffinity(0))}\n", SERVICE)
    finger.serve(CONFIGURATION.replace("RATE", str(rate)))
    finger.machine.write("/run/enumerate.py", CLIENT)


def measure(finger: Finger, answer: bytes, wait: float = 0, others: bytes = b"") -> str:
    """Return what the times of all tries tell, for the table. `wait`: see CLIENT; `others`: another
    answer that may come.
    """
    task = {
        "host": "127.0.0.1",
        "names": list(KINDS.values()),
        "processor": max(os.sched_getaffinity(0)),
        "answer": answer.decode(),
        "tries": TRIES,
        "wait": wait,
    }
    command = ("python3", "/run/enumerate.py")
    seen = json.loads(finger.machine.run(*command, stdin=json.dumps(task), timeout=HUNG).stdout)
    assert seen["others"].keys() <= {others.decode()}
    differences = all_pairs({kind: seen["times"][name] for kind, name in KINDS.items()})
    for pair, told in differences.items():
        print(*pair, told, sep=", ")
    shift = max(abs(told.shift) for told in differences.values()) / 1000
    auc = max(told.apart for told in differences.values())
    return (
        f"AUC at most {figure(auc, AUC, places=3)};"
        f" medians at most {figure(shift, APART, 'µs', 2)} apart"
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_octets_are_the_same(
    finger: Finger, people: None, host: str, tell: Callable[[str, str], None]
) -> None:
    serve(finger)
    names = (*KINDS.values(), CLOSED, SYSTEM)
    for before, after in (("", ""), ("/W ", ""), ("", " /W"), (" ", "  ")):
        for _ in range(2):  # looked up, and kept
            told = {finger.ask(f"{before}{name}{after}", host=host) for name in names}
            assert told == {ABSENT}
    family = "IPv6" if ":" in host else "IPv4"
    tell(f"absent, hidden and denied users over {family}", f"{len(names)} kinds, the same octets")


def test_times_of_kept_answers_tell_nothing(
    finger: Finger, people: None, tell: Callable[[str, str], None]
) -> None:
    serve(finger)
    tell(f"{TRIES:,} tries of each kind, answers kept", measure(finger, ABSENT, wait=1.5))


def test_times_beyond_the_rate_tell_nothing(
    finger: Finger, people: None, tell: Callable[[str, str], None]
) -> None:
    serve(finger, rate=1)
    while finger.ask(ABSENT_NAME) != LIMITED:
        pass
    # The rate lets one through now and then.
    told = measure(finger, LIMITED, others=ABSENT)
    tell(f"{TRIES:,} tries of each kind beyond the rate", told)
