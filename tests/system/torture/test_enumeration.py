# SPDX-License-Identifier: MIT
"""Who may not be shown cannot be told from who does not exist: by no octet, and once the answer is
kept or the rate is used up, by no measurement of the time that it takes either.

A client in the machine measures, in random order, on a processor of its own where there are two.
Wrong alarms are one in a thousand for a run: three runs on end must tell two kinds apart.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import pytest

from ..finger import ABSENT, SERVICE, Finger
from ..machine import Machine
from .two_samples import Difference, compare

LIMITED = b"Too many queries, try again later\r\n"
ALPHA = 0.001
RUNS = 3
TRIES = 10_000  # of each
UNKEPT_TRIES = 1000  # of each
SURPRISES = 5  # answers of the wrong kind that a run may see and leaves out: the rate refills
MEASURE_TIMEOUT = 300.0  # seconds

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
CLIENT = """
import json, os, random, socket, sys, time

task = json.load(sys.stdin)
os.sched_setaffinity(0, {task["processor"]})
right = task["answer"].encode()
times = {name: [] for name in task["names"]}

def ask(name, blanks):
    line = (name + blanks + "\\r\\n").encode()
    with socket.create_connection((task["host"], 79)) as client:
        told = b""
        began = time.perf_counter_ns()
        client.sendall(line)
        while octets := client.recv(4096):
            told += octets
        took = time.perf_counter_ns() - began
    return took if told == right else None

order = [name for name in task["names"] for _ in range(task["tries"])]
random.shuffle(order)
surprises = number = 0
while order:
    if task["wait"]:
        for name in task["names"]:
            ask(name, "")
    until = time.monotonic() + (task["wait"] or 3600)
    while order and time.monotonic() < until:
        name = order.pop()
        number += 1
        # Blanks are no part of a name, but of the line that an answer is kept for.
        blanks = format(number, "016b").translate({48: " ", 49: "\\t"}) if task["anew"] else ""
        took = ask(name, blanks)
        if took is None:
            surprises += 1
        else:
            times[name].append(took)
    if order:
        time.sleep(1)
print(json.dumps({"times": times, "surprises": surprises}))
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


def measure(finger: Finger, answer: bytes, **task: Any) -> dict[str, list[int]]:
    """Return the nanoseconds of all tries by kind. `wait`, `anew`: see CLIENT."""
    task = {
        "host": "127.0.0.1",
        "names": list(KINDS.values()),
        "processor": max(os.sched_getaffinity(0)),
        "answer": answer.decode(),
        "tries": TRIES,
        "wait": 0,
        "anew": False,
        **task,
    }
    told = finger.machine.run(
        "python3", "/run/enumerate.py", stdin=json.dumps(task), timeout=MEASURE_TIMEOUT
    ).stdout
    seen = json.loads(told)
    assert seen["surprises"] <= SURPRISES
    return {kind: seen["times"][name] for kind, name in KINDS.items()}


Pairs = dict[tuple[str, str], Difference]


def pairs(times: dict[str, list[int]]) -> Pairs:
    """Return how each kind differs from each other."""
    return {
        (one, other): compare(times[one], times[other]) for one, other in combinations(times, 2)
    }


def told_apart(run: Callable[[], dict[str, list[int]]]) -> tuple[Pairs, set[tuple[str, str]]]:
    """Return the last run's differences, and the pairs that each of RUNS runs has told apart; where
    one tells none apart there is no other.
    """
    apart = set(combinations(KINDS, 2))
    for _ in range(RUNS):
        differences = pairs(run())
        apart &= {pair for pair, difference in differences.items() if difference.p < ALPHA}
        if not apart:
            break
    return differences, apart


def effect(differences: Pairs) -> str:
    """Return the greatest differences of any pair, for the table."""
    shift = max(abs(difference.shift) for difference in differences.values()) / 1000
    auc = max(max(told.auc, 1 - told.auc) for told in differences.values())
    return f"medians at most {shift:.2f} µs apart, AUC at most {auc:.3f}"


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
    kept: list[dict[str, list[int]]] = []

    def run() -> dict[str, list[int]]:
        kept.append(measure(finger, ABSENT, wait=1.5))
        return kept[-1]

    differences, apart = told_apart(run)
    assert apart == set(), differences

    # What can be measured where each try is a look-up, this very test would notice.
    anew = pairs(measure(finger, ABSENT, tries=UNKEPT_TRIES, anew=True))
    shift = max(abs(difference.shift) for difference in anew.values())
    sample = kept[-1]["absent"]
    assert compare(sample, [took + round(shift) for took in sample]).p < ALPHA
    tell(f"{TRIES:,} tries of each kind, answers kept", effect(differences))
    tell(f"{UNKEPT_TRIES:,} tries of each kind, each looked up anew", effect(anew))
    for pair, told in anew.items():
        print(*pair, f"{told.shift / 1000:+.1f} µs, AUC {told.auc:.3f}, p {told.p:.2g}")


def test_times_beyond_the_rate_tell_nothing(
    finger: Finger, people: None, tell: Callable[[str, str], None]
) -> None:
    serve(finger, rate=1)
    while finger.ask(ABSENT_NAME) != LIMITED:
        pass
    differences, apart = told_apart(lambda: measure(finger, LIMITED))
    assert apart == set(), differences
    tell(f"{TRIES:,} tries of each kind beyond the rate", effect(differences))
