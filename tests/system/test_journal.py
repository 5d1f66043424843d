# SPDX-License-Identifier: MIT
"""What the journal tells of a query, and that a stuck journal does not matter."""

from __future__ import annotations

import re

import pytest

from .finger import HAPPY, SERVICE, Finger
from .waiting import wait_for

FIELDS = {
    "FINGER_QUERY": "moshez",
    "FINGER_CLIENT": "127.0.0.1",
    "FINGER_AUDIENCE": "everyone",
    "FINGER_RESULT": "found",
    "FINGER_BYTES": str(len(HAPPY)),
    "PRIORITY": "6",
    "SYSLOG_IDENTIFIER": "fingerd-sd",
    "_SYSTEMD_UNIT": SERVICE,
}


def test_a_query_is_one_structured_entry(finger: Finger) -> None:
    finger.serve()
    finger.ask("moshez")
    (entry,) = finger.wait_for_log(FINGER_QUERY="moshez")
    assert {name: entry.get(name) for name in FIELDS} == FIELDS
    assert re.fullmatch("[0-9a-f]{32}", entry["MESSAGE_ID"])
    assert entry["MESSAGE"] == "moshez from 127.0.0.1: found"
    assert entry["FINGER_SOURCE"]
    assert int(entry["FINGER_USEC"]) > 0


def test_the_unit_name_finger_finds_the_log(finger: Finger) -> None:
    finger.serve()
    finger.ask("the-only-query-of-this-name", host="::1")
    finger.wait_for_log(FINGER_QUERY="the-only-query-of-this-name")
    told = finger.machine.run("journalctl", "--no-pager", "-u", "finger").stdout
    assert told.count("the-only-query-of-this-name from ::1: absent") == 1


@pytest.mark.parametrize(
    "query",
    [
        b"a\x1b[31mred",
        b"%n%s%x",
        b"a\rFINGER_RESULT=found",
        b"a\x00FINGER_RESULT=found",
        b"\xff\xfe\x9b1m",
        "a\u2028b\u202ec\x9b".encode(),
        b"x" * 900,
        b"a\nFINGER_RESULT=forged\nMESSAGE=forged",
    ],
    ids=repr,
)
def test_text_from_the_peer_is_one_printable_record(finger: Finger, query: bytes) -> None:
    finger.serve()
    finger.ask(query)
    finger.ask("the-end")
    finger.wait_for_log(FINGER_QUERY="the-end")
    entry, end = [entry for entry in finger.log() if "FINGER_QUERY" in entry]
    assert end["FINGER_QUERY"] == "the-end"
    for name in ("MESSAGE", "FINGER_QUERY"):
        assert isinstance(entry[name], str)  # an array of octets, where journald found it binary
        assert entry[name].isprintable()
    assert entry["FINGER_RESULT"] not in ("found", "forged")


def test_the_catalog_explains_the_entry(finger: Finger) -> None:
    finger.serve()
    finger.ask("moshez")
    finger.wait_for_log(FINGER_QUERY="moshez")
    told = finger.machine.run("journalctl", "-x", "--no-pager", "FINGER_QUERY=moshez").stdout
    assert "-- Subject:" in told.replace("░░", "--")
    assert "fingerd-sd" in told


def test_a_stopped_journal_costs_log_entries_and_no_answer(finger: Finger) -> None:
    finger.serve()
    assert finger.ask("moshez") == HAPPY
    journald = finger.machine.show("systemd-journald.service", "MainPID")
    finger.machine.run("kill", "-STOP", journald)
    try:
        assert all(finger.ask("moshez") == HAPPY for _ in range(2000))
        wait_for(lambda: "dropped" in finger.status(), "the dropped entries", note=finger.status)
    finally:
        finger.machine.run("kill", "-CONT", journald)
    finger.since = finger.machine.cursor()
    finger.ask("moshez")
    finger.wait_for_log(FINGER_QUERY="moshez")
