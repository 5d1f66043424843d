# SPDX-License-Identifier: MIT
"""The other end of a unit source: the command item, with the listening socket that it is passed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PATIENCE = 60.0  # seconds; reached only by a failure


class Item:
    """The socket `coffee` in `folder`, and what is started for each question to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(folder / "coffee"))
        self.listening.listen()
        self.listening.setblocking(False)

    def connect(self) -> socket.socket:
        """Return a connection on which nothing was asked yet."""
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(PATIENCE)
        client.connect(str(self.folder / "coffee"))
        return client

    def ask(self) -> socket.socket:
        """Return a connection on which was asked what the source asks."""
        client = self.connect()
        client.sendall(b"coffee\r\n")
        client.shutdown(socket.SHUT_WR)
        return client

    def start(self, script: str) -> subprocess.Popen[str]:
        """Start the command as systemd does, with a program that is a shell script."""
        program = self.folder / "program"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return self.run(program)

    def run(self, program: Path) -> subprocess.Popen[str]:
        passed = {"PYTHONPATH": str(ROOT), "LISTEN_FDS": "1", "LISTEN_PID": "1", "WEATHER": "fine"}
        return subprocess.Popen(
            [sys.executable, "-m", "fingerd_sd", "item", str(program)],
            stdin=self.listening.fileno(),
            stderr=subprocess.PIPE,
            env={**os.environ, **passed},
            text=True,
            start_new_session=True,
        )


def ended(started: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the command; return its exit status, and what it has said."""
    _, said = started.communicate(timeout=PATIENCE)
    return started.returncode, said


def answer(client: socket.socket) -> bytes:
    """Return all that comes; raises ConnectionResetError if it is a failure."""
    octets = b""
    while some := client.recv(4096):
        octets += some
    return octets


@pytest.fixture
def item(tmp_path: Path) -> Iterator[Item]:
    made = Item(tmp_path)
    with made.listening:
        yield made


def test_what_the_program_says_is_the_answer(item: Item) -> None:
    with item.ask() as client:
        assert ended(item.start("echo 2 cups; echo 1 spoon")) == (0, "")
        assert answer(client) == b"2 cups\n1 spoon\n"


def test_one_command_answers_one_question(item: Item) -> None:
    with item.ask() as client, item.ask() as other:
        assert ended(item.start("echo 2 cups")) == (0, "")
        assert answer(client) == b"2 cups\n"
        assert ended(item.start("echo 1 cup")) == (0, "")
        assert answer(other) == b"1 cup\n"


@pytest.mark.parametrize("ending", ["exit 3", "kill -9 $$"])
def test_a_program_that_fails_is_a_failure_whatever_it_has_said(item: Item, ending: str) -> None:
    with item.ask() as client:
        status, said = ended(item.start(f"echo half; {ending}"))
        assert status == 69
        assert "program: exit status" in said
        assert client.recv(4096) == b"half\n"
        with pytest.raises(ConnectionResetError):
            client.recv(4096)


def test_a_program_that_is_not_there_is_a_failure(item: Item) -> None:
    with item.ask() as client:
        status, said = ended(item.run(item.folder / "nothing"))
        assert (status, said) == (
            69,
            f"{item.folder}/nothing: cannot be run: No such file or directory\n",
        )
        with pytest.raises(ConnectionResetError):
            client.recv(4096)


def test_a_command_that_is_killed_is_a_failure(item: Item) -> None:
    with item.ask() as client:
        started = item.start("echo half; exec sleep 3600")
        assert client.recv(4096) == b"half\n"
        os.killpg(started.pid, signal.SIGKILL)  # as systemd does
        ended(started)
        with pytest.raises(ConnectionResetError):
            client.recv(4096)


def test_the_program_gets_nothing_but_its_environment_and_its_output(item: Item) -> None:
    look = 'readlink /proc/self/fd/0; echo "$#" $LISTEN_FDS $LISTEN_PID $WEATHER; cat; pwd'
    with item.ask() as client:
        assert ended(item.start(look)) == (0, "")
        assert answer(client) == b"/dev/null\n0 fine\n/\n"
    with item.ask() as client:
        # Its descriptors, and that of the folder which `ls` itself reads.
        assert ended(item.start("ls /proc/self/fd | tr '\\n' ' '")) == (0, "")
        assert answer(client) == b"0 1 2 3 "


def test_a_program_for_which_nobody_waits_is_killed(item: Item) -> None:
    client = item.ask()
    started = item.start("echo half; exec sleep 3600 2>&-")
    assert client.recv(4096) == b"half\n"
    client.close()
    assert ended(started) == (0, "")


def test_who_has_left_is_passed_over(item: Item) -> None:
    item.ask().close()
    item.connect().close()
    with item.ask() as client:
        assert ended(item.start("echo 2 cups")) == (0, "")
        assert answer(client) == b"2 cups\n"
    item.ask().close()
    assert ended(item.start("echo 2 cups")) == (0, "")


def test_without_a_listening_socket_it_says_what_is_missing(item: Item) -> None:
    with item.connect() as client:
        for passed in (subprocess.DEVNULL, client.fileno()):
            done = subprocess.run(
                [sys.executable, "-m", "fingerd_sd", "item", "/bin/true"],
                stdin=passed,
                capture_output=True,
                cwd=ROOT,
                timeout=PATIENCE,
                check=False,
            )
            assert done.returncode == 64
            assert b"StandardInput=socket" in done.stderr
