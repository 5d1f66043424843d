# SPDX-License-Identifier: MIT
"""Whose account is gone: only NSS's word counts, and nobody waits for it."""

from __future__ import annotations

import asyncio
import ctypes
import os
import pwd
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from fingerd_sd.config.publish import PublishKeys
from fingerd_sd.directory.lookup import Directory
from fingerd_sd.serving.publishing import keeper
from fingerd_sd.serving.publishing.gone import gone
from fingerd_sd.serving.publishing.keeper import Rules
from fingerd_sd.serving.publishing.service import Publishing, Setup
from fingerd_sd.serving.publishing.views import Seen
from fingerd_sd.serving.publishing.wire import Request
from fingerd_sd.serving.publishing.writing.changing import Looked
from fingerd_sd.serving.publishing.writing.embedded import Writer
from fingerd_sd.sources.published.store import FILE, Reader

from ...helpers.wire import run, until

ME = pwd.getpwuid(os.getuid()).pw_name
NOBODY = "no-such-account-here"


def test_an_account_is_gone_that_nss_does_not_know_or_that_has_another_uid() -> None:
    people = [(ME, os.getuid()), (ME, os.getuid() + 1), (NOBODY, 4711)]
    assert gone(people) == {(ME, os.getuid() + 1), (NOBODY, 4711)}


def test_nobody_is_gone_while_nss_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    libc = SimpleNamespace(getpwnam_r=lambda *_: 5)  # EIO
    monkeypatch.setattr(ctypes, "CDLL", lambda _: libc)
    assert gone([(NOBODY, 4711)]) == set()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())
    assert gone([(NOBODY, 4711)]) == set()


def serve(folder: Path) -> Publishing:
    """Return a keeper of the files in `folder` that has begun, and has no socket."""
    made = Setup(Rules(PublishKeys()), Seen((), Directory([])), 600)
    served = Publishing(asyncio.get_running_loop(), made, str(folder))
    served.start([])
    return served


def publish(folder: Path, login: str) -> None:
    writer = Writer(str(folder))
    writer.publish(login, 4711, Request("publish", {"plan": "x"}), PublishKeys(), 5)
    writer.sweep({(login, 4711)}, 5)
    writer.close()


def test_a_keeper_that_starts_drops_who_has_been_gone_for_long(tmp_path: Path) -> None:
    async def scenario() -> None:
        publish(tmp_path, NOBODY)
        reader = Reader(str(tmp_path / FILE))
        assert reader.count() == 1
        served = serve(tmp_path)
        await until(lambda: not reader.count())
        await served.close()

    run(scenario())


def test_an_nss_that_hangs_keeps_no_keeper_from_leaving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, never = threading.Event(), threading.Event()

    def hang(people: object, vouches: bool) -> Looked:
        asked.set()
        never.wait(60)
        return Looked()

    monkeypatch.setattr(keeper, "_looked", hang)

    async def scenario() -> None:
        publish(tmp_path, NOBODY)
        served = serve(tmp_path)
        await asyncio.to_thread(asked.wait, 60)
        assert served.open == 0
        served.stop_accepting()
        await served.drain()
        await served.close()

    run(scenario())
    never.set()


def test_a_file_that_cannot_be_opened_is_told_before_anybody_publishes(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / FILE).mkdir()
        served = serve(tmp_path)
        told = asyncio.Event()
        served.on_change = told.set
        await told.wait()
        assert "nothing can be stored" in served.trouble
        await served.close()

    run(scenario())
