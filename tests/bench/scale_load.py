# SPDX-License-Identifier: MIT
"""What a static directory costs to load, as it grows: in TOML, and as a database.

Prints a Markdown table. It starts the real command as a process for each row, has it answer, and
reloads it while queries are made without a pause.

    python3 -m tests.bench.scale_load [USERS ...]
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

TREE = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "fingerd_sd"]
USERS = (10, 10_000, 1_000_000)
LOOK_UPS = 2000  # of users who were not asked for before
BESIDE = 0.5  # seconds of queries before and after a reload
PATIENCE = 300.0  # seconds for one step


def write_toml(file: Path, users: int) -> None:
    with file.open("w") as out:
        for number in range(users):
            out.write(f'[u{number:07d}]\nname = "Alice Liddell {number}"\nplan = "Working."\n')


def write_lines(file: Path, users: int) -> None:
    with file.open("w") as out:
        for number in range(users):
            person = f'{{"name": "Alice Liddell {number}", "plan": "Working."}}'
            out.write(f'{{"u{number:07d}": {person}}}\n')


def compiled(source: Path, target: Path) -> tuple[float, float]:
    """Make the database; return seconds and MiB."""
    begun = time.monotonic()
    stdin = None if source.suffix == ".toml" else source.open("rb")
    argument = str(source) if stdin is None else "-"
    done = subprocess.Popen(
        [*COMMAND, "compile", argument, str(target)], stdin=stdin, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(done.pid, 0)
    done.returncode = os.waitstatus_to_exitcode(status)
    assert done.returncode == 0
    return time.monotonic() - begun, usage.ru_maxrss / 1024


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


def ask(port: int, user: str) -> float:
    """Return the seconds from connecting to the end of the answer."""
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        client.sendall(f"{user}\r\n".encode())
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.startswith(b"Login: u"), answer
    return time.monotonic() - begun


def memory(pid: int, key: str) -> float:
    """Return MiB: VmRSS now, VmHWM at most. proc_pid_status(5)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(rf"^{key}:\s+(\d+)", status, re.MULTILINE)[0]) / 1024


@contextmanager
def serving(users_file: Path, log: Path) -> Iterator[tuple[int, int]]:
    """Serve `users_file`; yield the process's number and its port."""
    config = users_file.with_name("fingerd.toml")
    source = f'[[source]]\ntype = "static"\nfile = "{users_file}"\n'
    config.write_text(f"[server]\nlog_queries = false\n{source}")
    port = free_port()
    listen = [f"--config={config}", f"--listen=127.0.0.1:{port}"]
    with log.open("wb") as stderr:
        process = subprocess.Popen([*COMMAND, "serve", *listen], stderr=stderr)
    try:
        yield process.pid, port
    finally:
        process.terminate()
        process.wait(PATIENCE)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def accepts(port: int) -> bool:
    try:
        ask(port, "u0000000")
    except ConnectionRefusedError:
        return False
    return True


def row(file: Path, users: int) -> list[str]:
    """Return what is measured of one file of users."""
    log = file.with_name("log")
    begun = time.monotonic()
    with serving(file, log) as (pid, port):
        until(lambda: accepts(port))
        start = time.monotonic() - begun
        loaded = memory(pid, "VmRSS")
        step = max(1, users // LOOK_UPS)
        look_up = median(ask(port, f"u{number:07d}") for number in range(0, users, step))
        before, during, reload = reloaded(pid, port, users, log)
        most = memory(pid, "VmHWM")
    times = (look_up * 1e3, before * 1e3, during * 1e3)
    return [
        f"{start:.2f}",
        f"{loaded:.0f}",
        f"{most:.0f}",
        f"{times[0]:.2f}",
        f"{reload:.2f}",
        *(f"{time:.0f}" for time in times[1:]),
    ]


def reloaded(pid: int, port: int, users: int, log: Path) -> tuple[float, float, float]:
    """Return the longest that a query took without a reload, and during one; and the reload's time:
    seconds.
    """
    asked = 0
    longest = 0.0

    def query() -> None:
        nonlocal asked, longest
        asked += 7919  # a prime: another user each time
        longest = max(longest, ask(port, f"u{asked % users:07d}"))

    def during(seconds: float) -> float:
        nonlocal longest
        longest = 0.0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            query()
        return longest

    before = during(BESIDE)
    longest = 0.0
    begun = time.monotonic()
    os.kill(pid, signal.SIGHUP)
    while b"Reloaded" not in log.read_bytes():
        query()
    reload = time.monotonic() - begun
    meanwhile = longest
    return before, max(meanwhile, during(BESIDE)), reload


def main() -> None:
    counts = [int(word) for word in sys.argv[1:]] or USERS
    os.chdir(TREE)
    titles = (
        *("users", "format", "start, s", "memory, MiB", "at most, MiB", "new look-up, ms"),
        *("reload, s", "longest query before, ms", "during, ms"),
    )
    print(f"| {' | '.join(titles)} |")
    print(f"|--:|---|{'--:|' * (len(titles) - 2)}")
    made: list[str] = []
    for users in counts:
        with TemporaryDirectory() as name:
            folder = Path(name)
            toml, lines, database = (folder / f"users.{kind}" for kind in ("toml", "jsonl", "db"))
            write_toml(toml, users)
            write_lines(lines, users)
            told = [f"{users:,}"]
            for source in (toml, lines):
                seconds, mib = compiled(source, database)
                told += [f"{seconds:.1f}", f"{mib:.0f}"]
            sizes = [f"{file.stat().st_size / (1 << 20):.1f}" for file in (toml, database)]
            made.append(f"| {' | '.join([*told, *sizes])} |")
            for kind, file in (("TOML", toml), ("database", database)):
                print(f"| {users:,} | {kind} | {' | '.join(row(file, users))} |", flush=True)
    print()
    print("| users | from TOML, s | MiB | from JSON, s | MiB | TOML, MiB | database, MiB |")
    print("|--:|--:|--:|--:|--:|--:|--:|")
    print("\n".join(made))


if __name__ == "__main__":
    main()
