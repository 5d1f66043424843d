# SPDX-License-Identifier: MIT
"""Answers of a program, such as another finger. RFC 1288 §2.5.2 allows it, §3.2.6 warns of it.

The program gets the user as an argument, never through a shell. It has a deadline and a bounded
output, and only so many programs run at once. command/child.py runs a program.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from typing import NamedTuple

from fingerd_sd.config.table import Table
from fingerd_sd.directory.source import Needs, SourceError
from fingerd_sd.protocol.entry import Absent, Text
from fingerd_sd.protocol.text import CUT_MARK, decode_cut, one_line
from fingerd_sd.sources.command.child import run

ABSENT = frozenset({1})  # exit statuses: what grep and many look-ups return for "not found"
USER = "{user}"  # in an argument: where the name goes
GRACE = 2.0  # seconds after the deadline to wait for a killed program
MAX_TIMEOUT = 3600.0  # seconds
MAX_TTL = 365 * 86400.0  # seconds
MAX_OUTPUT = 1 << 24  # octets: an answer is held in memory, and sent from there
MAX_RUNNING = 256  # processes; finger.service allows 64 tasks, TasksMax=, unless that is raised
MAX_SAID = 200  # characters of what a failed program said, for the journal


class Options(NamedTuple):
    """`argv`: the program's path and its arguments. `absent`: exit statuses that mean "no such
    user". `absent_text`: a text that means it in a single line of output. `timeout`: seconds for
    one query, waiting included. `max_output`: octets. `max_running`: programs at once. `ttl`:
    seconds for which an answer may be reused.
    """

    argv: tuple[str, ...]
    absent: frozenset[int] = ABSENT
    absent_text: str = ""
    timeout: float = 5
    max_output: int = 65536
    max_running: int = 8
    ttl: float = 0


def read(table: Table, name: str) -> CommandSource:
    """Return the source that a `[[source]]` table describes; mistakes go to the table."""
    options = Options(
        argv=_read_argv(table),
        absent=_read_absent(table),
        absent_text=table.text("absent_text", ""),
        timeout=table.seconds("timeout", 5, 0.1, MAX_TIMEOUT),
        max_output=table.integer("max_output", 65536, 1, MAX_OUTPUT, "octets"),
        max_running=table.integer("max_running", 8, 1, MAX_RUNNING, "programs"),
        ttl=table.seconds("ttl", 0, 0, MAX_TTL),
    )
    table.close()
    return CommandSource(name, options)


def _read_argv(table: Table) -> tuple[str, ...]:
    argv = table.strings("argv", ())
    if not argv and table.value("argv") in (None, []):
        table.wrong("argv", f'is missing; such as ["/usr/bin/finger", "-lm", "--", "{USER}"]')
    elif not argv:
        pass  # no array of strings, which has been reported
    elif not os.path.isabs(argv[0]):
        table.wrong("argv", f'expected the program\'s whole path first, not "{argv[0]}"')
    elif USER in argv[0]:
        table.wrong("argv", f"{USER} cannot be in the program's path: who asks would choose it")
    elif not any(USER in argument for argument in argv):
        table.wrong("argv", f"has no {USER}, so that every user would get the same answer")
    elif any("\0" in argument for argument in argv):
        table.wrong("argv", "an argument cannot hold a NUL character")
    elif not os.access(argv[0], os.X_OK):
        table.unwise("argv", f'"{argv[0]}" is no program that can be run here now')
    return argv


def _read_absent(table: Table) -> frozenset[int]:
    absent = table.value("absent")
    if absent is None:
        return ABSENT
    if isinstance(absent, list) and all(
        isinstance(item, int) and not isinstance(item, bool) and 0 <= item <= 255 for item in absent
    ):
        return frozenset(absent)
    table.wrong("absent", "expected an array of exit statuses from 0 to 255, such as [1]")
    return frozenset()


class CommandSource:
    """Asks a program. A `Source`."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.timeout = options.timeout + GRACE  # this source keeps its deadline itself
        self.lifetime = options.ttl
        self.needs = Needs(programs=options.argv[:1])
        self._options = options
        self._places = asyncio.Semaphore(options.max_running)

    async def find(self, user: str) -> Text | Absent:
        """Return what the program says of `user`. Raises SourceError if it cannot be started, does
        not end in time, ends with another exit status, or ends by a signal.
        """
        options = self._options
        argv = arguments(options.argv, user)
        if argv is None:
            return Absent('the name would be an option: it begins with "-", and argv has no "--"')
        waiting = True
        try:
            async with asyncio.timeout(options.timeout), self._places:
                waiting = False
                outcome = await run(argv, options.max_output)
        except TimeoutError:
            why = f"{options.max_running} were running all the time" if waiting else "killed"
            late = f"no end in {options.timeout:g} s; {why}"
            raise SourceError(f"{options.argv[0]}: {late}") from None
        except (OSError, ValueError) as error:  # ValueError: the name holds a NUL
            raise SourceError(f"{options.argv[0]}: cannot be run: {_why(error)}") from None
        return self._said(outcome.status, outcome.output)

    def _said(self, status: int | None, output: bytes) -> Text | Absent:
        """Return what an ended program has said, by its exit `status`; see `child.Outcome`."""
        options = self._options
        text, cut = decode_cut(output, options.max_output)
        if status in options.absent:
            return Absent(f"{options.argv[0]}: exit status {status}")
        if status:
            ended = f"exit status {status}" if status > 0 else _signal(-status)
            said = one_line(text, MAX_SAID)
            raise SourceError(f"{options.argv[0]}: {ended}" + (f": {said}" if said else ""))
        if options.absent_text and options.absent_text in text and _is_one_line(text):
            return Absent(f"{options.argv[0]}: one line with absent_text")
        if cut:
            text = text.removesuffix("\n") + f"\n{CUT_MARK}\n"
        return Text(text, f"{options.argv[0]}, the output" + (", cut at max_output" if cut else ""))


def arguments(argv: Sequence[str], user: str) -> list[bytes] | None:
    """Return `argv` with the name in its place, as octets. None if the program could take the name
    for an option: the name begins with "-", it begins its argument, and no "--" precedes that.
    """
    filled = []
    options_may_come = True
    for argument in argv:
        if options_may_come and argument.startswith(USER) and user.startswith("-"):
            return None
        options_may_come = options_may_come and argument != "--"
        filled.append(os.fsencode(argument.replace(USER, user)))
    return filled


def _is_one_line(text: str) -> bool:
    return len(text.strip().splitlines()) == 1


def _why(error: Exception) -> str:
    if isinstance(error, PermissionError):
        return "permission denied; is it executable, and in ExecPaths= of finger.service?"
    return getattr(error, "strerror", None) or str(error)


def _signal(number: int) -> str:
    try:
        return f"killed by {signal.Signals(number).name}"
    except ValueError:  # a real-time signal
        return f"killed by signal {number}"
