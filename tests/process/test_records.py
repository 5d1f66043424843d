# SPDX-License-Identifier: MIT
"""Records of the logging module as entries of the journal."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from fingerd_sd.process.log.journal import MESSAGE_IDS, NativeJournal
from fingerd_sd.process.log.records import JournalHandler

from ..helpers.journald import Journald


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[Journald]:
    with Journald(tmp_path) as daemon:
        yield daemon


@pytest.fixture
def log(journald: Journald) -> Iterator[logging.Logger]:
    native = NativeJournal(journald.path)
    logger = logging.Logger("fingerd_sd.test")  # of its own: no other handler hears it
    logger.addHandler(JournalHandler(native))
    yield logger
    if native._socket is not None:
        native._socket.close()


def test_a_record_is_an_entry(journald: Journald, log: logging.Logger) -> None:
    log.warning("%d lost", 3, extra={"event": "LOG_DROPPED", "fields": {"FINGER_SOURCE": "x"}})
    entry = journald.entry()
    assert entry["MESSAGE"] == "3 lost"
    assert entry["PRIORITY"] == "4"
    assert entry["MESSAGE_ID"] == MESSAGE_IDS["LOG_DROPPED"]
    assert entry["FINGER_SOURCE"] == "x"
    assert entry["LOGGER"] == "fingerd_sd.test"
    assert entry["CODE_FILE"] == __file__
    assert entry["CODE_FUNC"] == "test_a_record_is_an_entry"
    assert entry["CODE_LINE"].isdigit()


def test_a_traceback_follows_the_text(journald: Journald, log: logging.Logger) -> None:
    try:
        raise ValueError("the disk is on fire")
    except ValueError as error:
        log.error("Source failed", exc_info=error, extra={"event": "SOURCE_FAILED"})
    message = journald.entry()["MESSAGE"]
    assert message.startswith("Source failed\nTraceback (most recent call last):\n")
    assert message.endswith("ValueError: the disk is on fire")


@pytest.mark.parametrize(
    ("level", "priority"), [(10, "7"), (20, "6"), (30, "4"), (40, "3"), (50, "2"), (35, "4")]
)
def test_levels_are_those_of_syslog(
    journald: Journald, log: logging.Logger, level: int, priority: str
) -> None:
    log.log(level, "hello")
    assert journald.entry()["PRIORITY"] == priority


def test_a_log_that_fails_stops_nothing(
    log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    log.error("%d", "not a number")
    log.error("hello", extra={"event": "NO_SUCH_EVENT"})
    assert "Logging error" in capsys.readouterr().err
