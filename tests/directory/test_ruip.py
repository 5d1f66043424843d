# SPDX-License-Identifier: MIT
"""The Remote User Information Program: a query line in, an answer out. Its wire cases are in
wire_cases.py; here is what is remembered, shared, counted, and never told to the wrong client.
"""

from __future__ import annotations

import asyncio
import logging
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerd_sd.directory.answer import RESULTS, Answer
from fingerd_sd.directory.lookup import Directory
from fingerd_sd.directory.ruip import Begun, Ruip
from fingerd_sd.directory.source import Mounted
from fingerd_sd.policy.audience import Audience
from fingerd_sd.policy.rates import MISS_COST
from fingerd_sd.policy.rules import Client, Policy
from fingerd_sd.process.log.journal import MAX_FIELD
from fingerd_sd.protocol.entry import ATOMS, Absent, Entry, Person, Text
from fingerd_sd.protocol.text import is_printable
from fingerd_sd.sources.static.source import StaticSource

from ..helpers.houses import ALICE, Told, everyone, networks, ruip, static
from ..helpers.wire import run, until
from ..helpers.wire_cases import BROKEN, LIMITED, NOBODY
from ..protocol.test_query import OCTETS
from ..protocol.test_reply import ENTRIES

HELLO = Text("hello")
RATE = 12
CLIENT = Policy([everyone(rate=RATE)]).client("192.0.2.1")


class Clock:
    """Monotonic seconds that pass when a test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def ask(house: Ruip, line: bytes, peer: str = "192.0.2.1") -> Answer:
    return run(house.answer(line, house.policy.client(peer)))


def ready(house: Ruip, line: bytes, peer: str = "192.0.2.1", now: float = 100.0) -> Answer | None:
    return house.ready(line, house.policy.client(peer), now)


# --- any octets, any source ---


@given(OCTETS, ENTRIES | st.none() | st.just(Absent()), st.frozensets(st.sampled_from(ATOMS)))
def test_whatever_is_asked_and_said_the_answer_is_printable_lines(
    line: bytes, said: Entry | Absent | None, show: frozenset[str]
) -> None:
    answer = ask(ruip(Told(said), audiences=[everyone(show)]), line)
    text = answer.octets.decode("utf-8")
    assert text.endswith("\r\n")
    assert is_printable(text.replace("\r\n", "").replace("\t", ""))
    assert is_printable(answer.query)
    assert answer.result in RESULTS


@pytest.mark.parametrize("nonsense", [42, "a string", b"octets", ["a list"], object()])
def test_a_source_that_says_nonsense_is_an_internal_error(
    nonsense: object, caplog: pytest.LogCaptureFixture
) -> None:
    house = ruip(Told(cast(Any, nonsense)))
    answer = ask(house, b"alice\r\n")
    assert (answer.octets, answer.result) == (BROKEN, "failed")
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert record.__dict__["event"] == "INTERNAL_ERROR"


def test_a_source_that_was_cancelled_from_within_is_an_internal_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @dataclass
    class Cancelled(Told):
        async def find(self, user: str) -> None:
            raise asyncio.CancelledError

    assert ask(ruip(Cancelled()), b"alice\r\n").octets == BROKEN
    assert caplog.records


@pytest.mark.parametrize(
    ("says", "result", "source"),
    [
        (HELLO, "found", "told"),
        (None, "absent", ""),
        (Absent("hidden"), "absent", ""),
        (ValueError("x"), "failed", "told"),
    ],
)
def test_an_answer_says_how_it_came_about(
    says: Entry | Absent | None, result: str, source: str
) -> None:
    answer = ask(ruip(Told(says)), b"alice\r\n")
    assert (answer.result, answer.source, answer.query) == (result, source, "alice")
    assert answer.steps


@pytest.mark.parametrize(
    ("line", "result"),
    [(b"\r\n", "refused"), (b"a@h\r\n", "refused"), (b"\0\r\n", "malformed")],
)
def test_nobody_is_asked_for_what_is_refused(line: bytes, result: str) -> None:
    source = Told(HELLO)
    assert ask(ruip(source), line).result == result
    assert source.asked == []


# --- absent and hidden ---


def test_absent_and_hidden_are_the_same_octets() -> None:
    house = ruip(Told(Absent("no .plan")), Told(None))
    hidden, absent = ask(house, b"alice\r\n"), ask(house, b"nobody\r\n")
    assert hidden.octets == absent.octets == NOBODY
    assert hidden.result == absent.result == "absent"
    assert hidden.source == absent.source


def test_a_source_for_others_is_as_if_it_were_not_there() -> None:
    inside = Audience("inside", networks("192.0.2.0/24"))
    directory = Directory([Mounted(Told(HELLO), frozenset({"inside"}))])
    house = Ruip(Policy([inside]), directory, Clock())
    assert ask(house, b"alice\r\n", "192.0.2.1").octets == b"hello\r\n"
    assert ask(house, b"alice\r\n", "198.51.100.1").octets == NOBODY


# --- what is remembered ---


@pytest.mark.parametrize("line", [b"alice\r\n", b"/W alice\n", b"bob\r\n", b"\r\n", b"a@h\r\n"])
def test_an_answer_is_ready_once_it_was_given(line: bytes) -> None:
    house = ruip(static({"alice": ALICE}), clock=Clock())
    assert ready(house, line) is None
    first = ask(house, line)
    assert ready(house, line) == first
    assert ready(house, line, "198.51.100.1") == first


def test_an_answer_lives_as_long_as_its_source_says() -> None:
    source, clock = Told(HELLO, lifetime=2.0), Clock()
    house = ruip(source, clock=clock)
    ask(house, b"alice\r\n")
    assert ready(house, b"alice\r\n", now=101.9) is not None
    assert ready(house, b"alice\r\n", now=102.1) is None
    clock.now = 102.1
    ask(house, b"alice\r\n")
    assert source.asked == ["alice", "alice"]
    assert ready(house, b"alice\r\n", now=104.0) is not None


def test_an_absence_is_remembered_too() -> None:
    house = ruip(Told(None, lifetime=2.0), clock=Clock())
    first = ask(house, b"alice\r\n")
    assert ready(house, b"alice\r\n") == first


@pytest.mark.parametrize("says", [HELLO, None, ValueError("x")])
def test_nothing_is_remembered_of_a_source_that_does_not_allow_it(
    says: Entry | None,
) -> None:
    source = Told(says, lifetime=0)
    house = ruip(source, clock=Clock())
    for _ in range(2):
        ask(house, b"alice\r\n")
        assert ready(house, b"alice\r\n") is None
    assert len(source.asked) == 2


def test_a_failure_is_not_remembered(caplog: pytest.LogCaptureFixture) -> None:
    source = Told(ValueError("for a moment"), lifetime=float("inf"))
    house = ruip(source, clock=Clock())
    assert ask(house, b"alice\r\n").octets == BROKEN
    source.says = HELLO
    assert ready(house, b"alice\r\n") is None
    assert ask(house, b"alice\r\n").octets == b"hello\r\n"
    assert len(caplog.records) == 1


def test_an_answer_for_one_audience_is_not_ready_for_another() -> None:
    inside = Audience("inside", networks("192.0.2.0/24"), frozenset(ATOMS))
    house = ruip(static({"alice": ALICE}), audiences=[inside], clock=Clock())
    assert b"Hill 016" in ask(house, b"alice\r\n", "192.0.2.1").octets
    assert ready(house, b"alice\r\n", "198.51.100.1") is None
    assert b"Hill 016" not in ask(house, b"alice\r\n", "198.51.100.1").octets


def test_two_audiences_share_no_look_up() -> None:
    inside = Audience("inside", networks("192.0.2.0/24"), frozenset(ATOMS))

    async def scenario() -> list[Answer]:
        source = Told(ALICE, waits=asyncio.Event())
        house = ruip(source, audiences=[inside], clock=Clock())
        asking = [
            asyncio.create_task(house.answer(b"alice\r\n", house.policy.client(peer)))
            for peer in ("192.0.2.1", "198.51.100.1")
        ]
        await until(lambda: len(source.asked) == 2)
        assert source.waits is not None
        source.waits.set()
        return await asyncio.gather(*asking)

    within, without = run(scenario())
    assert b"Hill 016" in within.octets
    assert b"Hill 016" not in without.octets


# --- what is shared ---


def test_those_who_ask_the_same_at_once_share_one_look_up() -> None:
    async def scenario() -> None:
        source = Told(HELLO, waits=asyncio.Event())
        house = ruip(source)
        client = house.policy.client("192.0.2.1")
        lines = [b"alice\r\n", b"alice\n", b" alice", b"/W alice\r\n", b"alice\r\nbehind"]
        asking = [asyncio.create_task(house.answer(line, client)) for line in lines]
        await until(lambda: bool(source.asked))
        assert source.waits is not None
        source.waits.set()
        answers = await asyncio.gather(*asking)
        assert {answer.octets for answer in answers} == {b"hello\r\n"}
        assert source.asked == ["alice"]
        await house.answer(b"alice\r\n", client)
        assert len(source.asked) == 2

    run(scenario())


def test_a_shared_look_up_goes_on_where_one_who_waits_leaves() -> None:
    async def scenario() -> None:
        source = Told(HELLO, waits=asyncio.Event())
        house = ruip(source)
        client = house.policy.client("192.0.2.1")
        leaver, stayer = (asyncio.create_task(house.answer(b"alice\r\n", client)) for _ in range(2))
        await until(lambda: bool(source.asked))
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        assert source.waits is not None
        source.waits.set()
        assert (await stayer).octets == b"hello\r\n"
        assert source.asked == ["alice"]

    run(scenario())


# --- hosts that are this server ---

LISTS = everyone()._replace(list="sessions")


@pytest.mark.parametrize(
    ("line", "same"),
    [
        (b"alice@localhost\r\n", b"alice\r\n"),
        (b"alice@Finger.Example.ORG.\r\n", b"alice\r\n"),
        (b"alice@localhost@finger.example.org\r\n", b"alice\r\n"),
        (b"@localhost\r\n", b"\r\n"),
        (b"/W @localhost\r\n", b"/W\r\n"),
        (b"/W@localhost\r\n", b"/W\r\n"),
        (b"alice@127.0.0.1\r\n", b"alice\r\n"),
        (b"@127.0.0.1\r\n", b"\r\n"),
    ],
)
def test_a_query_for_this_server_is_the_query_without_it(line: bytes, same: bytes) -> None:
    for waits in (False, True):
        people = static({"alice": ALICE})
        first = Told() if waits else static({})
        house = ruip(first, people, audiences=[LISTS], names=["localhost", "finger.example.org"])
        client = house.policy.client("192.0.2.1")
        for _ in range(2):  # looked up, and kept
            said = run(asked_here(house, line, client, "127.0.0.1"))
            assert (said.octets, said.result) == (ask(house, same).octets, "found")
            assert said.query == line.decode().strip()


async def asked_here(house: Ruip, line: bytes, client: Client, here: str) -> Answer:
    """Ask as the server does for a client that has connected to `here`."""
    said = house.ready(line, client, 100.0) or house.begin(line, client, 100.0, lambda: here)
    return house.settle(said, await house.wait(said).result()) if isinstance(said, Begun) else said


def test_a_chain_through_this_server_goes_to_the_other_host() -> None:
    house = ruip(static({"alice": ALICE}), names=["localhost"])
    for line in (b"alice@other@localhost\r\n", b"alice@localhost@other\r\n"):
        assert ask(house, line).result == "refused"


@pytest.mark.parametrize("waits", [False, True])
def test_who_connected_to_another_address_is_not_told_what_was_kept(waits: bool) -> None:
    first = Told() if waits else static({})
    house = ruip(first, static({"alice": ALICE}), names=["localhost"])
    client = house.policy.client("192.0.2.1")
    line = b"alice@192.0.2.7\r\n"
    for here, result in (("192.0.2.8", "refused"), ("192.0.2.7", "found")) * 2:
        assert run(asked_here(house, line, client, here)).result == result


# --- memory ---


def test_what_is_forgotten_is_looked_up_again() -> None:
    source = Told(HELLO, lifetime=60)
    house = ruip(source, clock=Clock())
    assert ask(house, b"alice\r\n").octets == b"hello\r\n"
    assert ready(house, b"alice\r\n") is not None
    house.forget()
    assert ready(house, b"alice\r\n") is None
    assert ask(house, b"alice\r\n").octets == b"hello\r\n"
    assert source.asked == ["alice", "alice"]


# --- rates ---


def test_who_asks_too_often_is_told_so_and_nobody_is_asked() -> None:
    source, clock = Told(HELLO), Clock()
    house = ruip(source, audiences=[everyone(rate=2)], clock=clock)
    answers = [ask(house, b"alice\r\n") for _ in range(3)]
    assert [answer.result for answer in answers] == ["found", "found", "limited"]
    assert answers[-1].octets == LIMITED
    assert answers[-1].query == "alice"
    assert len(source.asked) == 2
    assert ask(house, b"alice\r\n", "192.0.2.2").result == "found"
    clock.now += 60
    assert ask(house, b"alice\r\n").result == "found"


def test_a_ready_answer_counts_like_any_other() -> None:
    house = ruip(static({"alice": ALICE}), audiences=[everyone(rate=2)], clock=Clock())
    ask(house, b"alice\r\n")
    answers = [ready(house, b"alice\r\n") for _ in range(2)]
    assert [answer.result for answer in answers if answer] == ["found", "limited"]
    assert ask(house, b"alice\r\n").result == "limited"


def test_what_is_not_ready_is_not_counted_twice() -> None:
    house = ruip(Told(HELLO), audiences=[everyone(rate=1)], clock=Clock())
    assert ready(house, b"alice\r\n") is None
    assert ask(house, b"alice\r\n").result == "found"
    assert ask(house, b"alice\r\n").result == "limited"


ASKED_AT_ONCE = {  # how many of each a client with RATE may ask: a miss counts MISS_COST times
    "found": (b"alice\r\n", RATE),
    "absent": (b"nobody\r\n", RATE // MISS_COST),
    "hidden": (b"hidden\r\n", RATE // MISS_COST),
    "denied to this audience": (b"staff\r\n", RATE // MISS_COST),
    "a list": (b"\r\n", RATE // MISS_COST),
    "another host": (b"alice@example.org\r\n", RATE // MISS_COST),
    "malformed": (b"a\x00b\r\n", RATE // MISS_COST),
    "failed": (b"broken\r\n", RATE),
}


class Shy:
    """A source that hides one user, as accounts hide who has not opted in, and fails for another.

    `lifetime`: seconds that it lets an answer be reused.
    """

    name = "shy"
    timeout = 30.0

    def __init__(self, lifetime: float) -> None:
        self.lifetime = lifetime

    async def find(self, user: str) -> Absent | None:
        if user == "broken":
            raise ValueError("the disk is on fire")
        return Absent("has no plan") if user == "hidden" else None


def _a_house_with_a_rate(lifetime: float) -> Ruip:
    staff = static({"staff": Text("staff only")})
    sources = [
        Mounted(static({"alice": ALICE})),
        Mounted(staff, frozenset({"inside"})),
        Mounted(Shy(lifetime)),
    ]
    return Ruip(Policy([everyone(rate=RATE)]), Directory(sources), Clock())


@pytest.mark.parametrize("lifetime", [0.0, 60.0], ids=["looked up", "remembered"])
@pytest.mark.parametrize("what", ASKED_AT_ONCE)
def test_a_miss_of_any_kind_counts_the_same_on_both_paths(what: str, lifetime: float) -> None:
    """Else who asks could tell one from the other by when they are limited."""
    house = _a_house_with_a_rate(lifetime)
    line, admitted = ASKED_AT_ONCE[what]
    results = []
    for _ in range(RATE + 1):
        answer = ready(house, line) or ask(house, line)
        results.append(answer.result)
    assert results.index("limited") == admitted
    assert set(results[admitted:]) == {"limited"}
    assert (ready(house, line, "192.0.2.2") is None) is (
        what in ("malformed", "failed") or (lifetime == 0 and results[0] == "absent")
    )


def test_a_line_that_is_too_long_counts_as_any_that_is_malformed() -> None:
    house = _a_house_with_a_rate(0)
    results = [house.malformed(b"a" * 1024, CLIENT).result for _ in range(5)]
    assert results == ["malformed"] * (RATE // MISS_COST) + ["limited"] * 2
    assert ask(house, b"alice\r\n").result == "limited"


def test_a_miss_that_took_long_costs_what_a_quick_one_does() -> None:
    """Else a client could tell a home that was looked into from none."""

    class Slow(Shy):
        async def find(self, user: str) -> Absent | None:
            clock.now += 10  # two tokens come, of which a bucket less one takes one
            return None

    left = []
    for source in (Shy(60), Slow(60)):
        clock = Clock()
        house = ruip(source, audiences=[everyone(rate=RATE)], clock=clock)
        ask(house, b"nobody\r\n")
        client = house.policy.client("192.0.2.1")
        left.append([house.policy.admit(client, 110.0) for _ in range(RATE + 1)].count(True))
    assert left == [RATE - MISS_COST + 2] * 2


def test_a_miss_that_is_ready_costs_what_it_did_when_it_was_looked_up() -> None:
    house = _a_house_with_a_rate(60)
    assert ready(house, b"nobody\r\n") is None
    assert ask(house, b"nobody\r\n").result == "absent"
    answers = [ready(house, b"nobody\r\n") for _ in range(3)]
    assert [answer.result for answer in answers if answer] == ["absent", "absent", "limited"]


# --- fixed lines ---


def test_fixed_answers_tell_the_line_to_the_journal() -> None:
    house = ruip()
    line = b"a\x1b\\\xff\r\n"
    for answer, octets, result in (
        (house.malformed(line, CLIENT), b"Malformed query\r\n", "malformed"),
        (house.limited(line), LIMITED, "limited"),
        (house.failed(line), BROKEN, "failed"),
    ):
        assert (answer.octets, answer.result) == (octets, result)
        assert answer.query == "a\\x1b\\\\\\xff"


def test_a_long_line_is_told_in_part_so_that_its_entry_fits() -> None:
    """max_query may be up to 1 MiB, and an escaped octet takes four."""
    house = ruip()
    for answer in (house.malformed(b"\xff" * (1 << 20), CLIENT), ask(house, b"a" * (1 << 20))):
        assert 100 < len(answer.query.encode()) <= MAX_FIELD


# --- answers that need no event loop ---


AT_ONCE = """
import sys
sys.path.insert(0, {root!r})
from fingerd_sd.directory.lookup import Directory
from fingerd_sd.directory.ruip import Ruip
from fingerd_sd.directory.source import Mounted
from fingerd_sd.policy.rules import Policy
from fingerd_sd.protocol.entry import Text
from fingerd_sd.sources.static.source import StaticSource
source = StaticSource("static")
source.add("moshez", Text("Happy and well"))
house = Ruip(Policy([]), Directory([Mounted(source)]), lambda: 0.0)
client = house.policy.client("192.0.2.1")
for line in (b"moshez\\r\\n", b"bob\\r\\n", b"\\r\\n", b"a@h\\r\\n", b"\\0\\r\\n"):
    print(house.begin(line, client, 0.0).octets)
print(sorted({{"asyncio", "logging", "ssl", "socket", "threading"}} & set(sys.modules)))
"""


def test_what_need_not_be_waited_for_needs_no_event_loop() -> None:
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", AT_ONCE.format(root=root)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "b'Happy and well\\r\\n'",
        "b'No such user\\r\\n'",
        "b'Finger online user list denied\\r\\n'",
        "b'Finger forwarding service denied\\r\\n'",
        "b'Malformed query\\r\\n'",
        "[]",
    ]


def test_a_source_that_answers_at_once_is_asked_in_its_place() -> None:
    """One that must be waited for, before it, may know the user too."""
    first, second = Told(None, "first", lifetime=5), static({"alice": ALICE}, "second")
    house = ruip(first, second, Told(HELLO, "third"), clock=Clock())
    client = house.policy.client("192.0.2.1")
    assert isinstance(house.begin(b"alice\r\n", client, 100.0), Begun)
    assert first.asked == []
    answer = ask(house, b"alice\r\n")
    assert (answer.source, first.asked) == ("second", ["alice"])


def test_a_source_that_answers_at_once_and_fails_is_logged_and_the_next_is_asked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(StaticSource):
        def find_now(self, user: str) -> Entry | Absent:
            raise ValueError("the disk is on fire")

    house = ruip(Broken("broken"), static({"alice": HELLO}))
    client = house.policy.client("192.0.2.1")
    said = house.begin(b"alice\r\n", client, 100.0)
    assert isinstance(said, Answer)
    assert (said.octets, said.source) == (b"hello\r\n", "static")
    [record] = caplog.records
    assert record.__dict__["event"] == "SOURCE_FAILED"
    assert house.ready(b"alice\r\n", client, 100.0) is None


def test_a_person_without_a_name_is_answered_as_well() -> None:
    assert ask(ruip(Told(Person("alice"))), b"alice\r\n").octets == b"Login: alice\r\nNo Plan.\r\n"


# --- news ---


@dataclass
class Fresh(Told):
    """A source that tells news."""

    heard: int = 0

    def news(self) -> int:
        return self.heard


def test_news_is_seen_by_the_next_query_although_an_answer_was_kept() -> None:
    source = Fresh(HELLO, lifetime=math.inf)
    house = ruip(source)
    assert ask(house, b"alice\r\n").octets == b"hello\r\n"
    assert ready(house, b"alice\r\n") is not None
    source.says, source.heard = Absent(), 1
    assert ready(house, b"alice\r\n") is None
    assert ask(house, b"alice\r\n").octets == NOBODY


def test_a_refusal_is_kept_beside_a_source_with_news() -> None:
    house = ruip(Fresh())
    assert ask(house, b"\r\n").result == "refused"
    assert ready(house, b"\r\n") is not None


def test_what_was_looked_up_before_the_news_is_neither_kept_nor_shared_after_it() -> None:
    async def scenario() -> None:
        source = Fresh(HELLO, lifetime=math.inf, waits=asyncio.Event())
        house = ruip(source)
        client = house.policy.client("192.0.2.1")
        old = house.begin(b"alice\r\n", client, 0)
        assert isinstance(old, Begun)
        waits = house.wait(old)
        await until(lambda: source.asked == ["alice"])
        source.heard = 1
        new = house.begin(b"alice\r\n", client, 0)
        assert isinstance(new, Begun)
        waits_too = house.wait(new)
        await until(lambda: source.asked == ["alice"] * 2)
        assert source.waits is not None
        source.waits.set()
        house.settle(old, await waits.result())
        assert house.ready(b"alice\r\n", client, 0) is None
        house.settle(new, await waits_too.result())
        assert house.ready(b"alice\r\n", client, 0) is not None

    run(scenario())


def test_news_of_several_sources_are_told_apart() -> None:
    one, two = Fresh(HELLO, "one", lifetime=math.inf), Fresh(None, "two", lifetime=math.inf)
    house = ruip(one, two)
    for source in (one, two):
        ask(house, b"alice\r\n")
        assert ready(house, b"alice\r\n") is not None
        source.heard += 1
        assert ready(house, b"alice\r\n") is None
