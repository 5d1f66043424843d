# SPDX-License-Identifier: MIT
"""Runs the programs of this folder inside a machine, beside the test that looks on."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...helpers.ended import Ended
from ..machine import Machine
from . import load, rude
from .load import Found, Load

END_TIMEOUT = 500.0  # seconds; each program ends by itself before that


class Program(Ended):
    """A program of this folder; its standard input is open until `end`. `by`: what runs it."""

    def __init__(
        self, machine: Machine, source: Path, arguments: Sequence[str], by: Sequence[str] = ()
    ) -> None:
        path = f"/run/{source.name}"
        machine.write(path, source.read_text(encoding="utf-8"))
        command = [*by, "/usr/bin/python3", "-I", path, *arguments]
        self._process = machine.start(*command, stdin=subprocess.PIPE)
        self._said: dict[str, Any] | None = None

    def line(self) -> str:
        """Return the next line that it says; empty at its end."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode()

    def end(self) -> dict[str, Any]:
        """Tell it that it is enough; return what it says at its end, a line of JSON."""
        if self._said is None:
            told, _ = self._process.communicate(timeout=END_TIMEOUT)
            assert self._process.returncode == 0, told.decode(errors="replace")
            self._said = json.loads(told.splitlines()[-1])
        return self._said

    def leave(self, failed: bool) -> None:
        """End it as `end` does; where the test has failed, what it says does not matter."""
        if failed:
            self._process.communicate(timeout=END_TIMEOUT)
        else:
            self.end()


class Asking(Program):
    """Ordinary clients in the machine: load.py."""

    def __init__(self, machine: Machine, wanted: Load, by: Sequence[str] = ()) -> None:
        super().__init__(machine, Path(load.__file__), [json.dumps(asdict(wanted))], by)

    def found(self) -> Found:
        """Let them stop; return what they have found."""
        return Found(**self.end())


class Rudeness(Program):
    """Rude clients in the machine, of all `kinds` at once: rude.py. Returns when they are there."""

    def __init__(self, machine: Machine, kinds: Sequence[str], by: Sequence[str] = ()) -> None:
        super().__init__(machine, Path(rude.__file__), kinds, by)
        if (said := self.line()) != "here\n":
            raise AssertionError(f"{said}{self.end()}")
