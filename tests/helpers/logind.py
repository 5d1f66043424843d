# SPDX-License-Identifier: MIT
"""A bus of its own, and a logind on it that says what a test tells it to.

The real dbus-daemon, and D-Bus as it is spoken: what asks there is the code that asks on a machine.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import needs

NAME = "org.freedesktop.login1"
SIGNATURES = {
    "Class": "s", "State": "s", "TTY": "s", "Display": "s", "RemoteHost": "s", "Type": "s",
    "Service": "s", "Timestamp": "t", "IdleSinceHint": "t", "IdleHint": "b",
}  # fmt: skip
CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"
 eavesdrop="true"/><allow eavesdrop="true"/></policy></busconfig>
"""


@dataclass
class Bus:
    """A running dbus-daemon. `address`: where to find it."""

    address: str
    process: subprocess.Popen[str]

    def freeze(self) -> None:
        """Let it hang."""
        os.kill(self.process.pid, signal.SIGSTOP)


@contextmanager
def bus(folder: Path) -> Iterator[Bus]:
    """Run a bus whose files are in `folder`."""
    needs.programs("dbus-daemon")
    needs.modules("dbus_fast")
    configuration = folder / "bus.conf"
    configuration.write_text(CONFIGURATION.format(path=folder / "bus"))
    with subprocess.Popen(
        ["dbus-daemon", "--nofork", "--print-address", f"--config-file={configuration}"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip().partition(",guid=")[0]
        try:
            yield Bus(address, process)
        finally:
            process.kill()  # works on a stopped one too


def session(user: str, **properties: Any) -> dict[str, Any]:
    """Return a session of a person on a terminal, but for `properties`."""
    usual = {"Class": "user", "State": "active", "TTY": "", "Display": "", "RemoteHost": "",
             "Type": "tty", "Service": "login", "Timestamp": 1_790_000_000_000_000,
             "IdleSinceHint": 0, "IdleHint": False}  # fmt: skip
    return {"User": user, **usual, **properties}


@dataclass
class Logind:
    """What the logind on the bus says. `mode`: "" for the truth; "silent", "error", "odd"."""

    sessions: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    mode: str = ""
    asked: int = 0  # times that the sessions were listed

    @contextmanager
    def on(self, address: str) -> Iterator[Logind]:
        """Be on the bus at `address`, in a thread with a loop of its own."""
        ready = threading.Event()
        ended: asyncio.Event
        loop: asyncio.AbstractEventLoop

        async def serve() -> None:
            nonlocal ended, loop
            from dbus_fast.aio.message_bus import MessageBus

            loop, ended = asyncio.get_running_loop(), asyncio.Event()
            connection = await MessageBus(address).connect()
            connection.add_message_handler(self._answer)
            await connection.request_name(NAME)
            ready.set()
            await ended.wait()
            connection.disconnect()
            await connection.wait_for_disconnect()  # type: ignore[no-untyped-call,unused-ignore]

        thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
        thread.start()
        try:
            assert ready.wait(20)
            yield self
        finally:
            loop.call_soon_threadsafe(ended.set)
            thread.join()

    def _answer(self, message: Any) -> Any:
        from dbus_fast import Message

        if message.member == "ListSessions":
            self.asked += 1
            if self.mode == "error":
                return Message.new_error(message, "org.freedesktop.DBus.Error.Failed", "no")
            if self.mode == "odd":
                return Message.new_method_return(message, "s", ["sessions"])
            rows = [
                [name, 1000, properties["User"], "", f"/org/freedesktop/login1/session/{name}"]
                for name, properties in self.sessions.items()
            ]
            return (
                True
                if self.mode == "silent"
                else Message.new_method_return(message, "a(susso)", [rows])
            )
        if message.member == "GetAll":
            return self._properties(message)
        return None

    def _properties(self, message: Any) -> Any:
        from dbus_fast import Message, Variant

        properties = self.sessions[message.path.rpartition("/")[2]]
        if properties.get("gone"):
            return Message.new_error(message, "org.freedesktop.DBus.Error.UnknownObject", "gone")
        values = {
            name: Variant(SIGNATURES[name], value)
            for name, value in properties.items()
            if name in SIGNATURES
        }
        return Message.new_method_return(message, "a{sv}", [values])
