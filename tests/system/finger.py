# SPDX-License-Identifier: MIT
"""The service on a machine, as an administrator handles it: configure, drop in, start, look."""

from __future__ import annotations

import subprocess
from typing import Any

from .machine import Machine
from .waiting import wait_for

SERVICE = "finger.service"
SOCKET = "finger.socket"
CONFIGURATION = "/etc/fingerd-sd/fingerd.toml"
DROP_IN = "/run/systemd/system/{unit}.d/zz-test.conf"

FORGET = """
systemctl disable --now --quiet {socket} finger-metrics.socket finger-proxy.socket
systemctl stop {socket} finger-metrics.socket finger-proxy.socket {service}
rm -rf /etc/fingerd-sd
for folder in /etc/systemd/system /run/systemd/system; do
    rm -rf $folder/{socket}.d $folder/{service}.d $folder/finger-proxy.socket.d
done
systemctl daemon-reload
systemctl reset-failed
"""

# Restart at once and as often as it takes.
PROMPT = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestartSec=100ms\n"

MOSHEZ = """
[[source]]
type = "static"
users = { moshez = "Happy and well" }
"""
PROBE = '[[source]]\ntype = "probe"\n'
HAPPY = b"Happy and well\r\n"
ABSENT = b"No such user\r\n"
MALFORMED = b"Malformed query\r\n"
FAILED = b"Internal error in server\r\n"


class Finger:
    """finger.socket and finger.service on `machine`, or another pair of units of the project."""

    def __init__(self, machine: Machine, socket: str = SOCKET, service: str = SERVICE) -> None:
        self.machine, self.release = machine, machine.release
        self.socket, self.service = socket, service
        self.ask = machine.ask
        self.since = machine.cursor()

    def configure(self, text: str = MOSHEZ) -> None:
        """Write the main configuration file; nothing is reloaded."""
        self.machine.write(CONFIGURATION, text)

    def drop_in(self, text: str, unit: str = "") -> None:
        """Give a unit, the service unless another is named, a drop-in until the end of the test."""
        self.machine.write(DROP_IN.format(unit=unit or self.service), text)
        self.machine.systemctl("daemon-reload")

    def listen(self) -> None:
        """Open the port; no process is started."""
        self.machine.systemctl("start", self.socket)

    def serve(self, text: str = MOSHEZ) -> int:
        """Configure, open the port and start the process; return its id."""
        self.configure(text)
        self.listen()
        self.machine.systemctl("start", self.service)
        return self.pid()

    def pid(self) -> int:
        """Return the id of the process as the machine counts; 0 where there is none."""
        return int(self.machine.show(self.service, "MainPID"))

    def state(self, unit: str = "") -> str:
        """Return the state of a unit, the service unless another is named: active, inactive..."""
        return self.machine.show(unit or self.service, "ActiveState")

    def wait_for_state(self, state: str, unit: str = "") -> None:
        """Wait until the unit is in `state`."""
        what = f"{unit or self.service} to be {state}"
        wait_for(lambda: self.state(unit) == state, what, note=self.diary)

    def status(self) -> str:
        """Return the process's own STATUS= text."""
        return self.machine.show(self.service, "StatusText")

    def log(self, **fields: str) -> list[dict[str, Any]]:
        """Return the process's own entries in the journal since the test began, `fields` as given.

        Those that systemd writes about the unit are left out.
        """
        wanted = {"SYSLOG_IDENTIFIER": "fingerd-sd", "_SYSTEMD_UNIT": self.service, **fields}
        return [
            entry
            for entry in self.machine.journal(after=self.since)
            if all(entry.get(name) == value for name, value in wanted.items())
        ]

    def wait_for_log(self, count: int = 1, **fields: str) -> list[dict[str, Any]]:
        """Return the entries of `log` once there are at least `count`."""

        def enough() -> list[dict[str, Any]] | None:
            entries = self.log(**fields)
            return entries if len(entries) >= count else None

        return wait_for(enough, f"{count} entries with {fields}", note=self.diary)

    def diary(self) -> str:
        """Return the end of what the journal holds of the test, for a person to read."""
        command = ["journalctl", "--no-pager", "-o", "short-precise"]
        try:
            told = self.machine.run(*command, f"--after-cursor={self.since}", check=False).stdout
        except subprocess.SubprocessError as error:  # the test has failed: let it tell why itself
            return str(error)
        return told[-20000:]

    def forget(self) -> None:
        """Go back to the state after the installation: stopped, disabled, no configuration."""
        script = FORGET.format(socket=self.socket, service=self.service)
        self.machine.run("sh", "-c", script, check=False)
        assert self.state(self.socket) == self.state() == "inactive"
