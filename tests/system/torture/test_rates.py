# SPDX-License-Identifier: MIT
"""Clients that ask far too often, that guess names, and that are ten million."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from ..finger import ABSENT, HAPPY, MOSHEZ, Finger
from ..machine import Machine, read_all
from .figures import LEAKED_MEMORY, figure

Tell = Callable[[str, str], None]

LIMITED = b"Too many queries, try again later\r\n"
RATE = 60
MISS_COST = 4  # queries that a miss counts as
ADDRESSES = 10_000_000
HUNG = 1500.0  # seconds, a few minutes are usual

CONFIGURED = f"""
[[audience]]
name = "everyone"
rate = {RATE}
{MOSHEZ}
[[source]]
type = "accounts"
"""

# Each address asks twice, and is limited the second time; one in 50 is identified from its text,
# which takes Python much longer than all the rest.
MANY = """
import json, resource, sys
sys.path.insert(0, "/usr/local/lib/fingerd-sd")
from fingerd_sd.policy.audience import Audience
from fingerd_sd.policy.notices import Notices
from fingerd_sd.policy.rules import Client, Policy

audience = Audience(rate=1)
policy, notices = Policy([audience]), Notices()

def clients(begin, end):
    for number in range(begin, end, 2):
        high, low = divmod(number // 2, 65536)
        four, six = f"10.{high}.{low >> 8}.{low & 255}", f"2001:db8:{high:x}:{low:x}::"
        if number % 100 == 0:
            yield policy.client(four)
            yield policy.client(six + "1")
        else:
            yield Client(four, four, four, audience, 1)
            yield Client(six + "1", six + "1", six + "/64", audience, 1)

told = limited = 0
def ask(begin, end):
    global told, limited
    for client in clients(begin, end):
        assert policy.admit(client, 0.0)
        policy.missed(client)
        assert not policy.admit(client, 0.0)
        limited += 1
        told += notices.count(client, 0.0) is not None

def kib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

empty = kib()
ask(0, 300_000)
full = kib()
ask(300_000, int(sys.argv[1]))
counted = told + sum(notice.queries for notice in notices.rest())
print(json.dumps({"empty": empty, "full": full, "end": kib(), "limited": limited, "told": told,
                  "counted": counted}))
"""


def ask_from(machine: Machine, source: str, query: str) -> bytes:
    """Return the answer to a client at `source`, an IPv4 address."""
    with machine.new_socket() as connection:
        connection.settimeout(30)
        connection.bind((source, 0))
        connection.connect(("127.0.0.1", 79))
        connection.sendall(query.encode() + b"\r\n")
        return read_all(connection)


def until_limited(
    finger: Finger, source: str, query: Callable[[int], str], answer: bytes, cost: int = 1
) -> int:
    """Ask one `query` after the other until one is limited; return how many had `answer`, each of
    which costs so much of the rate. They are as many as a minute and the time since then allow.
    """
    began = time.monotonic()
    for count in range(100 * RATE):
        if (said := ask_from(finger.machine, source, query(count))) != answer:
            assert said == LIMITED
            minutes = (time.monotonic() - began) / 60
            assert RATE // cost <= count <= (1 + minutes) * RATE / cost + 1
            return count
    raise AssertionError(f"{source} is never limited")


def entries_about(finger: Finger, client: str) -> list[dict[str, Any]]:
    return finger.log(FINGER_CLIENT=client, FINGER_RESULT="limited")


@pytest.mark.parametrize("log_queries", [True, False])
def test_one_client_asks_far_too_often(finger: Finger, tell: Tell, log_queries: bool) -> None:
    finger.serve(f"[server]\nlog_queries = {str(log_queries).lower()}\n{CONFIGURED}")
    greedy, other = [], []
    began = time.monotonic()
    for number in range(3000):
        greedy.append(ask_from(finger.machine, "127.0.0.2", "moshez"))
        if number % 100 == 0:  # 30 in all: within the rate
            other.append(ask_from(finger.machine, "127.0.0.3", "moshez"))
    assert other == [HAPPY] * 30
    assert set(greedy) == {HAPPY, LIMITED}
    limited = greedy.count(LIMITED)
    minutes = (time.monotonic() - began) / 60
    assert limited >= 3000 - (1 + minutes) * RATE - 1
    finger.machine.systemctl("stop", "finger.socket", "finger.service")
    finger.wait_for_log(MESSAGE_ID="b12fa261437e4b4aaf3c3be48d46ebed")  # it has stopped
    entries = entries_about(finger, "127.0.0.2")
    assert sum(int(entry["FINGER_COUNT"]) for entry in entries) == limited
    assert len(entries) <= minutes + 3  # one at once, one a minute, one at the end
    assert entries[0]["MESSAGE"] == "Too many queries from 127.0.0.2: 1 refused"
    assert {entry["PRIORITY"] for entry in entries} == {"4"}
    assert not any("FINGER_QUERY" in entry for entry in entries)
    queries = [entry for entry in finger.log() if "FINGER_QUERY" in entry]
    assert len(queries) == (greedy.count(HAPPY) + 30 if log_queries else 0)
    tell(
        f"3,000 queries at once with rate = {RATE}, log_queries = {str(log_queries).lower()}",
        f"{limited:,} limited, told in {len(entries)} entries; none of another client's 30",
    )


def test_one_client_holds_too_many_connections(finger: Finger, tell: Tell) -> None:
    finger.serve(f"[server]\nmax_per_client = 4\n{MOSHEZ}")
    held = [finger.machine.connect() for _ in range(4)]
    try:
        for connection in held:
            connection.sendall(b"mos")
        answers: list[bytes] = []
        began = time.monotonic()
        while len(answers) < 500:
            answers.append(finger.ask("moshez"))
            if answers == [HAPPY]:  # not all are held yet
                answers.clear()
        assert answers == [LIMITED] * 500
        assert ask_from(finger.machine, "127.0.0.2", "moshez") == HAPPY
        for connection in held:
            connection.sendall(b"hez\r\n")
        assert [read_all(connection) for connection in held] == [HAPPY] * 4
    finally:
        for connection in held:
            connection.close()
    minutes = (time.monotonic() - began) / 60
    finger.machine.systemctl("stop", "finger.socket", "finger.service")
    finger.wait_for_log(MESSAGE_ID="b12fa261437e4b4aaf3c3be48d46ebed")
    entries = entries_about(finger, "127.0.0.1")
    assert sum(int(entry["FINGER_COUNT"]) for entry in entries) == 500
    assert len(entries) <= minutes + 3
    tell("500 queries over max_per_client", f"500 refused, told in {len(entries)} entries")


def test_names_are_guessed_slowly(finger: Finger, tell: Tell) -> None:
    """What is not there and who does not show himself cost the same; what is found, a quarter."""
    finger.serve(CONFIGURED)
    found = until_limited(finger, "127.0.0.2", lambda _: "moshez", HAPPY)
    absent = until_limited(finger, "127.0.0.3", lambda count: f"nobody{count}", ABSENT, MISS_COST)
    until_limited(finger, "127.0.0.4", lambda _: "nobody", ABSENT, MISS_COST)
    hidden = until_limited(finger, "127.0.0.5", lambda _: "root", ABSENT, MISS_COST)
    tell(
        f"names guessed with rate = {RATE} until limited",
        f"{absent} that nobody has, {hidden} hidden; {found} hits",
    )


def test_ten_million_addresses_ask_too_often(finger: Finger, tell: Tell) -> None:
    """In a process that drives the rules, since so many connections would only try the kernel."""
    command = ["python3", "-I", "-", str(ADDRESSES)]
    said = finger.machine.run(*command, stdin=MANY, timeout=HUNG).stdout
    seen = json.loads(said)
    assert seen["limited"] == seen["counted"] == ADDRESSES
    assert seen["told"] == 101
    rates, more = seen["full"] - seen["empty"], seen["end"] - seen["full"]
    assert more <= LEAKED_MEMORY
    tell(
        f"{ADDRESSES:,} addresses ask twice with rate = 1",
        f"{figure(rates / 1024, 64, 'MiB')} for rates at 300,000;"
        f" {figure(more / 1024, 8, 'MiB')} more at the end; {seen['told']} log entries",
    )
