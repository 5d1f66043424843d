# SPDX-License-Identifier: MIT
"""Sources in order, each with its deadline; the first that knows the user answers."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import pytest

from fingerd_sd.directory.lookup import Directory
from fingerd_sd.directory.search import Finding
from fingerd_sd.directory.source import Mounted, Source
from fingerd_sd.protocol.entry import Absent, Entry, Person, Text

from ..helpers.houses import Told, static
from ..helpers.wire import run

HELLO, OTHER = Text("hello"), Text("other")


def find(*sources: Source, user: str = "alice") -> Finding:
    directory = Directory([Mounted(source) for source in sources])
    return run(directory.find(user, "everyone"))


def test_the_first_that_knows_the_user_answers() -> None:
    after = Told(OTHER, "after")
    finding = find(Told(None, "none"), Told(Absent(), "absent"), Told(HELLO, "knows"), after)
    assert (finding.entries, finding.source, finding.failed) == ((HELLO,), "knows", False)
    assert after.asked == []


def test_every_source_is_asked_for_the_user_as_it_was_spelled() -> None:
    sources = [Told(), Told()]
    find(*sources, user="Alice Liddell")
    assert [source.asked for source in sources] == [["Alice Liddell"]] * 2


def test_nobody_knows_where_no_source_does() -> None:
    assert find(Told(), Told(Absent())).entries == ()
    assert find() == Finding(lifetime=math.inf)


def test_each_source_says_why_it_does_not_show_the_user() -> None:
    steps = find(Told(Absent("no .plan"), "one"), Told(None, "two"), Told(HELLO, "three")).steps
    assert steps == ("one: no .plan", "two: not known here", "three: knows the user")


def test_a_source_is_asked_only_for_its_audiences() -> None:
    source = Told(HELLO)
    directory = Directory([Mounted(source, frozenset({"inside"}))])
    hidden = run(directory.find("alice", "everyone"))
    assert (hidden.entries, hidden.failed, source.asked) == ((), False, [])
    assert hidden.steps == ('told: not for the audience "everyone"',)
    assert run(directory.find("alice", "inside")).entries == (HELLO,)


@pytest.mark.parametrize("error", [ValueError("broken"), OSError(5, "I/O"), RecursionError()])
def test_a_source_that_fails_is_logged_with_its_traceback_and_the_next_is_asked(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    finding = find(Told(error, "bad"), Told(HELLO, "good"))
    assert (finding.entries, finding.source, finding.failed) == ((HELLO,), "good", False)
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert record.exc_info[2] is not None
    assert "Source bad failed" in record.getMessage()
    assert record.__dict__["event"] == "SOURCE_FAILED"
    assert record.__dict__["fields"] == {"FINGER_SOURCE": "bad"}
    assert finding.steps[0].startswith("bad: failed: ")


def test_it_has_failed_only_where_nobody_after_the_failure_knows(
    caplog: pytest.LogCaptureFixture,
) -> None:
    finding = find(Told(None, "first"), Told(ValueError(), "bad"), Told(Absent(), "last"))
    assert (finding.entries, finding.source, finding.failed) == ((), "bad", True)
    assert len(caplog.records) == 1


def test_a_source_that_takes_too_long_has_failed(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> Finding:
        slow = Told(HELLO, "slow", timeout=0.01, waits=asyncio.Event())
        return await Directory([Mounted(slow), Mounted(Told(OTHER, "good"))]).find("alice", "x")

    finding = run(scenario())
    assert finding.entries == (OTHER,)
    assert finding.steps[0] == "slow: failed: no answer in time"
    assert [record.__dict__["event"] for record in caplog.records] == ["SOURCE_FAILED"]


def test_each_source_has_a_deadline_of_its_own() -> None:
    async def scenario() -> Finding:
        released = asyncio.Event()
        slow = Told(HELLO, "slow", timeout=0.01, waits=asyncio.Event())
        patient = Told(OTHER, "patient", timeout=30, waits=released)
        asking = asyncio.create_task(
            Directory([Mounted(slow), Mounted(patient)]).find("alice", "everyone")
        )
        while not patient.asked:
            await asyncio.sleep(0)
        released.set()
        return await asking

    assert run(scenario()).source == "patient"


def test_a_source_without_a_deadline_is_waited_for() -> None:
    assert find(Told(HELLO, timeout=math.inf)).entries == (HELLO,)


def test_a_source_that_was_cancelled_from_within_has_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What a source awaits may be cancelled by somebody else: that is its failure, not ours."""

    @dataclass
    class Cancelled(Told):
        async def find(self, user: str) -> None:
            inner = asyncio.get_running_loop().create_future()
            inner.cancel()
            await inner

    finding = find(Cancelled(name="cancelled"), Told(HELLO, "good"))
    assert finding.source == "good"
    assert [record.__dict__["event"] for record in caplog.records] == ["SOURCE_FAILED"]


def test_asking_can_be_cancelled() -> None:
    async def scenario() -> None:
        source = Told(HELLO, waits=asyncio.Event())
        asking = asyncio.create_task(Directory([Mounted(source)]).find("alice", "everyone"))
        while not source.asked:
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    run(scenario())


@pytest.mark.parametrize(
    ("sources", "lifetime"),
    [
        ([Told(HELLO, lifetime=9)], 9),
        ([Told(None, lifetime=3), Told(HELLO, lifetime=9)], 3),
        ([Told(None, lifetime=9), Told(HELLO, lifetime=3), Told(lifetime=1)], 3),
        ([Told(None, lifetime=9), Told(None, lifetime=5)], 5),
        ([Told(ValueError(), lifetime=9), Told(HELLO, lifetime=9)], 0),
        ([Told(ValueError(), lifetime=9), Told(None, lifetime=9)], 0),
    ],
)
def test_an_answer_lives_as_long_as_all_who_were_asked_allow(
    sources: list[Told], lifetime: float
) -> None:
    assert find(*sources).lifetime == lifetime


def test_sources_that_can_give_memory_back_do_and_one_that_fails_keeps_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Keeps(Told):
        kept = True

        def give_back(self) -> None:
            self.kept = False

    class Fails(Told):
        def give_back(self) -> None:
            raise ValueError("on fire")

    keeps = Keeps()
    Directory([Mounted(Told()), Mounted(Fails(name="fails")), Mounted(keeps)]).give_back()
    assert not keeps.kept
    assert "on fire" in caplog.text


def test_sources_are_started_and_one_that_fails_keeps_no_other_from_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    changed: list[str] = []

    class Starts(Told):
        def start(self, tell: Callable[[], None]) -> None:
            tell()

    class Fails(Told):
        def start(self, tell: Callable[[], None]) -> None:
            raise ZeroDivisionError

    directory = Directory([Mounted(Told()), Mounted(Fails(name="fails")), Mounted(Starts())])
    directory.start(lambda: changed.append("told"))
    assert changed == ["told"]
    assert [record.getMessage() for record in caplog.records] == [
        "Source fails failed: ZeroDivisionError"
    ]


# --- a person with others beneath ---

ABOVE = Person(
    "alice", name="Alice", plan="published", origins=MappingProxyType({"plan": "a"}), beneath=True
)
BELOW = Person(
    "alice",
    name="Alice Liddell",
    shell="/bin/sh",
    project="finger",
    plan="in a file",
    origins=MappingProxyType({"plan": "b", "project": "c"}),
)


class Knows(Told):
    """A source that hides users who have not consented elsewhere."""

    async def find(self, user: str) -> Absent:
        return Absent("hidden")

    async def find_consented(self, user: str) -> Entry | Absent | None:
        return await super().find(user)


def one(finding: Finding) -> Person:
    [entry] = finding.entries
    assert isinstance(entry, Person)
    return entry


def test_what_a_later_source_knows_is_shown_beneath() -> None:
    never = Told(OTHER, "never asked")
    finding = find(Told(ABOVE, "above"), Told(None), Knows(BELOW, "below"), never)
    assert one(finding)._replace(origins=MappingProxyType({})) == Person(
        "alice", name="Alice", shell="/bin/sh", project="finger", plan="published"
    )
    assert one(finding).origins == {"plan": "a", "project": "c"}
    assert (finding.source, finding.failed, never.asked) == ("above, below", False, [])
    assert finding.steps == (
        "above: knows the user",
        "told: not known here",
        "below: knows the user",
    )


def test_a_source_that_answers_at_once_is_shown_beneath_too() -> None:
    assert one(find(Told(ABOVE), static({"alice": BELOW}))).shell == "/bin/sh"
    assert one(find(static({"alice": ABOVE}), Knows(BELOW))).shell == "/bin/sh"


def test_without_consent_elsewhere_a_source_is_asked_as_ever() -> None:
    assert find(Told(None), Knows(BELOW)).entries == ()


@pytest.mark.parametrize("says", [None, Absent(), Text("all of it"), ValueError("broken")])
def test_it_is_shown_alone_where_nobody_knows_more(says: Entry | Absent | Exception | None) -> None:
    finding = find(Told(ABOVE, "above", lifetime=9), Knows(says, "below", lifetime=9))
    assert (one(finding), finding.source, finding.failed) == (ABOVE, "above", False)
    assert finding.lifetime == (0 if isinstance(says, Exception) else 9)


def test_several_lie_one_on_another() -> None:
    middle = Person("alice", shell="/bin/zsh", beneath=True)
    finding = find(Told(ABOVE, "1"), Told(middle, "2"), Told(BELOW, "3"))
    assert (one(finding).plan, one(finding).shell) == ("published", "/bin/zsh")
    assert (one(finding).project, finding.source) == ("finger", "1, 2, 3")
    assert find(Told(ABOVE, "1"), Told(middle, "2")).source == "1, 2"


def test_the_shortest_lifetime_of_all_that_is_shown_counts() -> None:
    shorter = ABOVE._replace(lifetime=1)
    assert find(Told(shorter, lifetime=9), Told(BELOW, lifetime=9)).lifetime == 1
    assert find(Told(ABOVE, lifetime=9), Told(BELOW, lifetime=2)).lifetime == 2
