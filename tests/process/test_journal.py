# SPDX-License-Identifier: MIT
"""The log: journald's protocol over a datagram that never blocks, else lines on a descriptor."""

from __future__ import annotations

import io
import os
import pty
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given

from fingerd_sd.process.log import journal as module
from fingerd_sd.process.log.journal import (
    GATHERED,
    MAX_FIELD,
    MAX_LINE,
    MESSAGE_IDS,
    NativeJournal,
    Queried,
    StreamJournal,
    open_journal,
)
from fingerd_sd.protocol.text import escaped

from ..helpers.journald import Journald, read_entry
from ..protocol.test_text import ANY_TEXT


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[Journald]:
    with Journald(tmp_path) as daemon:
        yield daemon


@pytest.fixture
def native(journald: Journald) -> Iterator[NativeJournal]:
    journal = NativeJournal(journald.path)
    yield journal
    _close(journal)


def _close(journal: NativeJournal) -> None:
    if journal._socket is not None:
        journal._socket.close()


# --- the protocol ---


def test_the_parser_of_these_tests_reads_both_forms() -> None:
    datagram = b"A=1\nB_2\n\x04\0\0\0\0\0\0\0x\n=y\nC=\n"
    assert read_entry(datagram) == {"A": "1", "B_2": "x\n=y", "C": ""}
    for broken in (b"A=1", b"a=1\n", b"A\n\xff\0\0\0\0\0\0\0x\n", b"\n"):
        with pytest.raises(AssertionError):
            read_entry(broken)


def test_an_entry_arrives_whole(journald: Journald, native: NativeJournal) -> None:
    native.write(4, "two\nlines", "STARTED", {"FINGER_SOURCE": "static", "EMPTY": ""})
    assert journald.entry() == {
        "MESSAGE": "two\nlines",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "fingerd-sd",
        "FINGER_SOURCE": "static",
        "EMPTY": "",
        "MESSAGE_ID": MESSAGE_IDS["STARTED"],
    }


def test_an_entry_without_an_event_has_no_message_id(
    journald: Journald, native: NativeJournal
) -> None:
    native.write(6, "hello", None, {})
    assert "MESSAGE_ID" not in journald.entry()


def _asked(number: int) -> Queried:
    return (f"u{number}", "192.0.2.1", "inside", "found", "static", 1, 1)


def _read(journald: Journald, many: int) -> list[str]:
    return [journald.entry()["FINGER_QUERY"] for _ in range(many)]


def test_queries_in_a_burst_are_written_few_at_a_time_and_all_when_it_is_over(
    journald: Journald, native: NativeJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GATHERED", 4)  # the kernel may keep as few as ten
    native.gather(True)
    for number in range(3):
        native.query(_asked(number))
    assert not journald.peek()
    native.query(_asked(3))
    assert _read(journald, 4) == ["u0", "u1", "u2", "u3"]
    native.query(_asked(100))
    native.query(_asked(101))
    assert not journald.peek()
    native.gather(False)
    assert _read(journald, 2) == ["u100", "u101"]
    native.query(_asked(102))
    assert _read(journald, 1) == ["u102"]


def test_a_long_entry_does_not_wait_for_others(journald: Journald, native: NativeJournal) -> None:
    """Sixteen of the longest would not fit the socket's buffer."""
    native.gather(True)
    native.query(_asked(1))
    native.query(("x" * 5000, "192.0.2.1", "inside", "absent", "static", 1, 1))
    assert _read(journald, 2) == ["u1", "x" * 5000]


def test_what_happens_in_a_burst_is_told_after_the_queries_before_it(
    journald: Journald, native: NativeJournal
) -> None:
    native.gather(True)
    native.query(_asked(1))
    native.write(4, "a warning", None, {})
    assert _read(journald, 1) == ["u1"]
    assert journald.entry()["MESSAGE"] == "a warning"


def test_entries_of_a_burst_that_journald_does_not_take_are_counted(tmp_path: Path) -> None:
    journal = NativeJournal(str(tmp_path / "nobody"))
    journal.gather(True)
    for number in range(GATHERED + 1):
        journal.query(_asked(number))
    assert journal.dropped == GATHERED
    journal.gather(False)
    assert journal.dropped == GATHERED + 1


def test_a_query_is_one_entry_with_all_its_fields(
    journald: Journald, native: NativeJournal
) -> None:
    native.query(("alice", "192.0.2.0/24", "inside", "found", "accounts", 123, 456))
    assert journald.entry() == {
        "MESSAGE": "alice from 192.0.2.0/24: found",
        "MESSAGE_ID": MESSAGE_IDS["QUERY"],
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "fingerd-sd",
        "FINGER_QUERY": "alice",
        "FINGER_CLIENT": "192.0.2.0/24",
        "FINGER_AUDIENCE": "inside",
        "FINGER_RESULT": "found",
        "FINGER_SOURCE": "accounts",
        "FINGER_BYTES": "123",
        "FINGER_USEC": "456",
    }
    assert journald.waiting() == 0


def test_a_query_for_a_list_can_be_seen_in_the_message(
    journald: Journald, native: NativeJournal
) -> None:
    native.query(("", "local", "everyone", "refused", "", 32, 1))
    entry = journald.entry()
    assert entry["MESSAGE"] == "{C} from local: refused"
    assert entry["FINGER_QUERY"] == ""


def test_who_never_said_anything_did_not_ask_for_a_list(
    journald: Journald, native: NativeJournal
) -> None:
    native.query(("", "local", "everyone", "timeout", "", 0, 1))
    assert journald.entry()["MESSAGE"] == "nothing from local: timeout"


@pytest.mark.parametrize(
    "octets",
    [b"a\nMESSAGE=forged\nPRIORITY=0", b"\0\x1b[2J%n%s", b"\xff\xfe", "\u202e\u2028".encode()],
)
def test_what_a_peer_sends_forges_no_field(
    journald: Journald, native: NativeJournal, octets: bytes
) -> None:
    native.query((escaped(octets), "192.0.2.1", "everyone", "malformed", "", 17, 1))
    entry = journald.entry()
    assert entry["PRIORITY"] == "6"
    assert entry["FINGER_QUERY"] == escaped(octets)
    assert entry["MESSAGE"] == f"{escaped(octets)} from 192.0.2.1: malformed"


@given(message=ANY_TEXT, value=ANY_TEXT)
def test_any_text_arrives_as_it_was(message: str, value: str) -> None:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    journal = NativeJournal("/nowhere")
    journal._socket = here
    with here, there:
        journal.write(6, message, None, {"FIELD": value})
        entry = read_entry(there.recv(1 << 20))
    assert entry["MESSAGE"].encode() == message.encode("utf-8", "backslashreplace")
    assert entry["FIELD"].encode() == value.encode("utf-8", "backslashreplace")
    assert journal.dropped == 0


def test_a_long_message_is_cut_so_that_it_fits(journald: Journald, native: NativeJournal) -> None:
    native.write(3, "x" * (1 << 20), "INTERNAL_ERROR", {})
    assert journald.entry()["MESSAGE"] == "x" * MAX_FIELD
    assert native.dropped == 0


def test_a_long_message_is_cut_between_two_characters(
    journald: Journald, native: NativeJournal
) -> None:
    native.write(3, "x" * (MAX_FIELD - 1) + "ż", None, {})
    assert journald.entry()["MESSAGE"] == "x" * (MAX_FIELD - 1)


# --- a journald in trouble ---


def test_a_socket_that_nobody_reads_blocks_nobody(
    journald: Journald, native: NativeJournal
) -> None:
    for _ in range(5000):
        native.query(("alice", "192.0.2.1", "everyone", "found", "static", 10, 10))
    native.write(6, "hello", None, {})
    taken = journald.waiting()
    assert taken > 0
    assert native.dropped == 5001 - taken
    native.write(6, "again", None, {})
    assert journald.entry()["MESSAGE"] == "again"


def test_a_journald_that_is_not_there_blocks_nobody(tmp_path: Path) -> None:
    journal = NativeJournal(str(tmp_path / "nowhere"))
    for _ in range(3):
        journal.write(6, "hello", None, {})
    assert journal.dropped == 3


def test_a_journald_that_comes_back_is_found(tmp_path: Path) -> None:
    with Journald(tmp_path) as daemon:
        journal = NativeJournal(daemon.path)
        journal.write(6, "first", None, {})
        assert daemon.entry()["MESSAGE"] == "first"
    journal.write(6, "lost", None, {})
    journal.write(6, "lost too", None, {})
    assert journal.dropped == 2
    Path(daemon.path).unlink()
    with Journald(tmp_path) as daemon:
        journal.write(6, "second", None, {})
        assert daemon.entry()["MESSAGE"] == "second"
    assert journal.dropped == 2
    _close(journal)


# --- lines on a descriptor ---


def _written(*entries: tuple[int, str]) -> bytes:
    read, write = os.pipe()
    with open(read, "rb") as reader:
        with open(write, "wb") as writer:
            journal = StreamJournal(writer.fileno())
            for priority, message in entries:
                journal.write(priority, message, None, {"FIELD": "left out"})
            assert journal.dropped == 0
        return reader.read()


def test_lines_have_the_level_before_them() -> None:
    assert _written((6, "hello"), (3, "two\nlines")) == b"hello\ntwo\nlines\n"


def test_a_terminal_needs_no_level() -> None:
    ours, theirs = pty.openpty()
    try:
        StreamJournal(theirs).write(6, "hello", None, {})
        assert os.read(ours, 100).split() == [b"hello"]
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_file_gets_lines_as_well(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        StreamJournal(file.fileno()).query(("alice", "192.0.2.1", "everyone", "found", "", 1, 1))
    assert (tmp_path / "log").read_bytes() == b"alice from 192.0.2.1: found\n"


def test_a_long_line_is_cut_and_ended() -> None:
    written = _written((6, "x" * 100_000))
    assert written == b"" + b"x" * (MAX_LINE - 1) + b"\n"
    assert _written((6, "x" * (MAX_LINE - 2) + "ż")) == b"" + b"x" * (MAX_LINE - 2) + b"\n"


def test_a_surrogate_is_written_escaped() -> None:
    assert _written((6, "a\udcffb")) == b"a\\udcffb\n"


def test_a_pipe_that_nobody_reads_blocks_nobody() -> None:
    read, write = os.pipe()
    with open(read, "rb") as reader:
        with open(write, "wb") as writer:
            journal = StreamJournal(writer.fileno())
            for _ in range(5000):
                journal.query(("x" * 100, "192.0.2.1", "everyone", "found", "static", 1, 1))
            assert journal.dropped > 0
        lines = reader.read().splitlines()
    assert len(lines) + journal.dropped == 5000
    assert set(lines) == {b"" + b"x" * 100 + b" from 192.0.2.1: found"}


def test_a_reader_that_is_gone_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as writer:
        journal = StreamJournal(writer.fileno())
        journal.write(6, "hello", None, {})
        assert journal.dropped == 1


# --- which of the two ---


def test_the_journal_is_used_where_standard_error_leads_to_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (tmp_path / "stderr").open("w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        status = os.fstat(stderr.fileno())
        ours = f"{status.st_dev}:{status.st_ino}"
        assert isinstance(open_journal({"JOURNAL_STREAM": ours}), NativeJournal)
        for other in ({}, {"JOURNAL_STREAM": "1:2"}, {"JOURNAL_STREAM": ""}):
            assert isinstance(open_journal(other), StreamJournal)


def test_standard_error_without_a_descriptor_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for stderr in (io.StringIO(), None):
        monkeypatch.setattr(sys, "stderr", stderr)
        assert isinstance(open_journal({"JOURNAL_STREAM": "1:2"}), StreamJournal)


# --- the logging module ---


# --- message ids ---


def test_message_ids_are_what_they_always_were() -> None:
    """Scripts look for them: add to them, never change one."""
    assert MESSAGE_IDS.items() >= {
        ("QUERY", "ac100d73c1444ca5ae881e435305c6ea"),
        ("STARTED", "25c3706979f647799b7a9313908954bb"),
        ("STOPPED", "b12fa261437e4b4aaf3c3be48d46ebed"),
        ("RELOADED", "71ca543dab004b10a7cb597e2f256fa0"),
        ("RELOAD_FAILED", "c71baec406324277a64900a8e30cef4d"),
        ("CONFIG_ERROR", "44eabcd2aca44e29a498efc11efd1883"),
        ("CONFIG_WARNING", "cec2ed86b5ea4a1787ca269cec2f0989"),
        ("SOURCE_FAILED", "8bb1cab27cfd410daae400ce51bbcfc6"),
        ("INTERNAL_ERROR", "bb1feaaa614746fe8cfbba23c8c7f159"),
        ("ACCEPT_PAUSED", "8316378d08dc47b9942ddf0f3107914e"),
        ("LOG_DROPPED", "6e45f1e289734d2aaaf908b63c54c5b5"),
    }


def test_message_ids_are_128_bits_and_differ() -> None:
    assert all(re.fullmatch("[0-9a-f]{32}", value) for value in MESSAGE_IDS.values())
    assert len(set(MESSAGE_IDS.values())) == len(MESSAGE_IDS)


def test_every_event_that_is_logged_has_a_message_id() -> None:
    package = Path(__file__).parents[2] / "fingerd_sd"
    events = {
        event
        for file in package.rglob("*.py")
        for event in re.findall(r'"event": "([A-Z_]+)"', file.read_text())
    }
    assert events
    assert events <= set(MESSAGE_IDS)


def test_the_texts_of_entries_are_made_again_after_they_were_given_back(
    journald: Journald, native: NativeJournal
) -> None:
    queried: Queried = ("alice", "192.0.2.1", "everyone", "found", "static", 9, 4)
    for _ in range(2):
        native.query(queried)
        assert journald.entry()["MESSAGE"] == "alice from 192.0.2.1: found"
        native.give_back()
        assert module._about.cache_info().currsize == 0
