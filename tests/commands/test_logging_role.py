# SPDX-License-Identifier: MIT
"""The finger role's query log, as a configuration makes it: whole, and gathered in a burst."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import cast

import pytest

from fingerd_sd.commands.roles.finger import begin
from fingerd_sd.commands.roles.role import Start
from fingerd_sd.config.mistakes import File
from fingerd_sd.process.log.journal import NativeJournal
from fingerd_sd.serving.finger.service import Finger
from fingerd_sd.serving.waiting import accept

from ..helpers.journald import Journald
from ..helpers.wire import run

CONFIG = '[server]\nlog_queries = {log}\n[[source]]\ntype = "static"\nusers = {{ moshez = "x" }}\n'


class Gathering(NativeJournal):
    """Tells what it is told to gather, and what it has sent by then."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.told: list[bool] = []

    def gather(self, on: bool) -> None:
        """See NativeJournal."""
        self.told.append(on)
        super().gather(on)

    def close(self) -> None:
        """Close its socket."""
        if self._socket is not None:
            self._socket.close()


def _ask(listener: socket.socket) -> socket.socket:
    client = socket.create_connection(listener.getsockname())
    client.sendall(b"moshez\r\n")
    return client


@pytest.mark.parametrize("log", [True, False])
def test_all_who_are_taken_at_once_are_logged_in_one_burst(
    log: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accept, "PROBE", 1)
    monkeypatch.setattr(accept, "RUSH", 0)
    config = tmp_path / "fingerd.toml"
    config.write_text(CONFIG.format(log=str(log).lower()))

    async def scenario() -> None:
        with Journald(tmp_path) as journald:
            journal = Gathering(journald.path)
            role = begin(Start(cast(File, config), journal, None, ()))
            finger = role.serve(asyncio.get_running_loop(), role.setup)
            assert isinstance(finger, Finger)
            with socket.create_server(("127.0.0.1", 0)) as listener:
                clients = [_ask(listener) for _ in range(5)]
                finger.start([listener])
                while finger.state.accepted < 5:
                    await asyncio.sleep(0)
                finger.stop_accepting()
                await finger.drain()
                await finger.close()
            for client in clients:
                with client:
                    assert client.makefile("rb").read() == b"x\r\n"
            journal.close()
            assert journal.told == [True, False]
            assert journald.waiting() == (5 if log else 0)
            assert not journal.dropped

    run(scenario())
