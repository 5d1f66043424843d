# SPDX-License-Identifier: MIT
"""The life of a real process: sockets passed in, readiness, reload, watchdog, leaving."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.integration.process import (
    PATIENCE,
    ROOT,
    Running,
    ask,
    configured,
    everything,
    listener,
    serving,
)

from ..helpers import needs

MOSHEZ = '[[source]]\ntype = "static"\nusers = { moshez = "Happy and well" }\n'
IDLE_EXITS = 30  # processes that leave while queries come; booted machines do it under systemd


def reload(running: Running, config: str, text: str) -> None:
    """Have the process read `text` as its configuration."""
    Path(config).write_text(text)
    running.process.send_signal(signal.SIGHUP)
    running.wait_for("RELOADING=1")
    running.wait_for("READY=1")


def test_the_tutorials_steps_by_configuration(tmp_path: Path) -> None:
    closed = listener()
    address = closed.getsockname()
    closed.close()
    with pytest.raises(ConnectionRefusedError), socket.create_connection(address):
        pass  # step one: nothing listens
    config = configured(tmp_path, "[server]\nquery_timeout = 0.5\n[[source]]\ntype = 'static'\n")
    with listener() as sock, serving([sock], tmp_path, "--config", config) as running:
        with socket.create_connection(sock.getsockname()) as silent:
            silent.settimeout(PATIENCE)
            assert everything(silent) == b""  # silence: closed by the deadline
        reload(running, config, "[[source]]\ntype = 'static'\n")
        assert ask(sock, b"moshez\r\n") == b"No such user\r\n"  # an empty directory
        reload(running, config, MOSHEZ)
        assert ask(sock, b"moshez\r\n") == b"Happy and well\r\n"
        assert ask(sock, b"somebody\r\n") == b"No such user\r\n"
        assert running.stop() == 0


def test_serves_all_kinds_of_sockets_that_were_passed(tmp_path: Path) -> None:
    config = configured(tmp_path, MOSHEZ)
    unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    unix.bind(str(tmp_path / "finger.sock"))
    unix.listen()
    with listener() as ipv4, listener(("::1", 0)) as ipv6, unix:
        sockets = [ipv4, ipv6, unix]
        with serving(sockets, tmp_path, "--config", config) as running:
            assert [ask(sock, b"moshez\r\n") for sock in sockets] == [b"Happy and well\r\n"] * 3
            assert running.stop() == 0
            log = running.stderr()
    assert "moshez from 127.0.0.1: found" in log
    assert "moshez from ::1: found" in log
    assert "moshez from local: found" in log


@pytest.mark.parametrize("first", ["", '[[source]]\ntype = "accounts"\n'])
def test_who_speaks_no_tls_has_nothing_of_it_in_memory(tmp_path: Path, first: str) -> None:
    """Not after a reload, and a client that sends more than its line; see roles/later.py."""
    config = configured(tmp_path, first + MOSHEZ)
    with listener() as sock, serving([sock], tmp_path, "--config", config) as running:
        assert ask(sock, b"moshez\r\n") == b"Happy and well\r\n"
        reload(running, config, first + MOSHEZ)
        assert ask(sock, b"moshez\r\n") == b"Happy and well\r\n"
        with socket.create_connection(sock.getsockname()) as more:
            more.settimeout(PATIENCE)
            more.sendall(b"moshez\r\nand more")
            assert everything(more) == b"Happy and well\r\n"
            more.sendall(b"and still more")  # which is read and dropped
        mapped = Path(f"/proc/{running.process.pid}/maps").read_text()
        assert "python" in mapped
        assert "/libssl" not in mapped
        assert "/_ssl." not in mapped
        assert running.stop() == 0


@pytest.mark.parametrize("name", ["finger", "finger.socket", "unknown", ""])
def test_serves_a_socket_without_a_name_of_its_own_as_finger(tmp_path: Path, name: str) -> None:
    config = configured(tmp_path, MOSHEZ)
    with listener() as sock, serving([sock], tmp_path, "--config", config, names=name):
        assert ask(sock, b"moshez\r\n") == b"Happy and well\r\n"


def test_refuses_a_descriptor_name_that_it_does_not_know(tmp_path: Path) -> None:
    config = configured(tmp_path, MOSHEZ)
    with (
        listener() as sock,
        serving([sock], tmp_path, "--config", config, names="gopher", ready=False) as running,
    ):
        assert running.exit_status() == 78
        assert '"gopher"' in running.stderr()


def test_refuses_a_socket_that_does_not_listen(tmp_path: Path) -> None:
    config = configured(tmp_path, MOSHEZ)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
        serving([sock], tmp_path, "--config", config, ready=False) as running,
    ):
        assert running.exit_status() == 78
        assert "ListenStream=" in running.stderr()


def test_without_any_socket_it_says_what_to_do(tmp_path: Path) -> None:
    with serving([], tmp_path, "--config", configured(tmp_path, MOSHEZ), ready=False) as running:
        assert running.exit_status() == 64
        said = running.stderr()
    assert "systemctl enable --now finger.socket" in said
    assert "--listen 127.0.0.1:1079" in said


def test_binds_its_own_sockets_where_it_is_told_to(tmp_path: Path) -> None:
    with listener() as free, listener(("::1", 0)) as free6:
        port, port6 = free.getsockname()[1], free6.getsockname()[1]
    arguments = ["--listen", f"127.0.0.1:{port}", "--listen", f"[::1]:{port6}"]
    config = configured(tmp_path, MOSHEZ)
    with serving([], tmp_path, "--config", config, *arguments):
        for address in (("127.0.0.1", port), ("::1", port6)):
            with socket.create_connection(address) as client:
                client.settimeout(PATIENCE)
                client.sendall(b"moshez\r\n")
                assert everything(client) == b"Happy and well\r\n"


def test_says_that_an_address_is_taken(tmp_path: Path) -> None:
    with listener() as taken:
        port = taken.getsockname()[1]
        arguments = ["--config", configured(tmp_path, MOSHEZ), "--listen", f"127.0.0.1:{port}"]
        with serving([], tmp_path, *arguments, ready=False) as running:
            assert running.exit_status() == 69
            assert f"127.0.0.1 port {port}: Address already in use" in running.stderr()


def test_names_every_mistake_and_leaves_with_78(tmp_path: Path) -> None:
    config = configured(tmp_path, '[server]\nquery_timeot = 1\nmax_query = "x"\n')
    with listener() as sock, serving([sock], tmp_path, "--config", config, ready=False) as running:
        assert running.exit_status() == 78
        lines = running.stderr().splitlines()
    assert len(lines) == 2
    assert any("max_query" in line and "whole number" in line for line in lines)
    assert any("query_timeot" in line and "query_timeout" in line for line in lines)


def test_a_bad_reload_keeps_the_old_configuration_and_says_so(tmp_path: Path) -> None:
    config = configured(tmp_path, MOSHEZ)
    with listener() as sock, serving([sock], tmp_path, "--config", config) as running:
        Path(config).write_text("this is no TOML")
        running.process.send_signal(signal.SIGHUP)
        assert "MONOTONIC_USEC=" in running.wait_for("RELOADING=1")
        assert "old configuration in use" in running.wait_for("READY=1")
        assert ask(sock, b"moshez\r\n") == b"Happy and well\r\n"
        assert "old configuration in use" in running.wait_for("1 query (1 found)")
        assert running.stop() == 0
        assert "Not reloaded" in running.stderr()


def test_finishes_what_is_open_when_it_is_stopped(tmp_path: Path) -> None:
    config = configured(tmp_path, MOSHEZ)
    with listener() as sock, serving([sock], tmp_path, "--config", config) as running:
        with socket.create_connection(sock.getsockname()) as half:
            half.settimeout(PATIENCE)
            half.sendall(b"mosh")
            running.wait_for("1 connections open")
            running.process.send_signal(signal.SIGTERM)
            running.wait_for("STOPPING=1")
            half.sendall(b"ez\r\n")
            assert everything(half) == b"Happy and well\r\n"
        assert running.exit_status() == 0


def test_who_comes_while_it_stops_is_answered_by_the_next(tmp_path: Path) -> None:
    config = configured(tmp_path, MOSHEZ)
    with listener() as sock, serving([sock], tmp_path, "--config", config) as running:
        with socket.create_connection(sock.getsockname()) as half:
            half.sendall(b"mosh")
            running.wait_for("1 connections open")
            running.process.send_signal(signal.SIGTERM)
            running.wait_for("STOPPING=1")
            late = socket.create_connection(sock.getsockname())
            late.sendall(b"moshez\r\n")
        assert running.exit_status() == 0
        with late, serving([sock], tmp_path, "--config", config):
            late.settimeout(PATIENCE)
            assert everything(late) == b"Happy and well\r\n"


def test_feeds_the_watchdog(tmp_path: Path) -> None:
    config = configured(tmp_path, MOSHEZ)
    with (
        listener() as sock,
        serving([sock], tmp_path, "--config", config, WATCHDOG_USEC="100000") as running,
    ):
        for _ in range(3):
            running.wait_for("WATCHDOG=1")


def test_exits_when_idle_only_where_it_may(tmp_path: Path) -> None:
    config = configured(tmp_path, "[server]\nidle_exit = 0.2\n" + MOSHEZ)
    with listener() as sock:
        with serving([sock], tmp_path, "--config", config) as running:
            running.wait_for("STOPPING=1")
            assert running.exit_status() == 0
        kept = serving([sock], tmp_path, "--config", config, SYSTEMD_EXIT_ON_IDLE="0")
        with kept as running:
            assert ask(sock, b"moshez\r\n") == b"Happy and well\r\n"
            running.wait_for("1 query")  # told two seconds later: ten times the idle time
            assert running.process.poll() is None


def test_idle_exits_lose_nobody(tmp_path: Path) -> None:
    config = configured(tmp_path, "[server]\nidle_exit = 0.002\n" + MOSHEZ)
    answers: list[object] = []
    enough = threading.Event()
    with listener() as sock:

        def query() -> None:
            pauses = random.Random(79)
            while not enough.wait(pauses.uniform(0, 0.008)):  # around the idle time: the worst case
                try:
                    answers.append(ask(sock, b"moshez\r\n"))
                except OSError as error:
                    answers.append(error)

        clients = [threading.Thread(target=query, daemon=True) for _ in range(2)]
        for client in clients:
            client.start()
        try:
            for _ in range(IDLE_EXITS):
                with serving([sock], tmp_path, "--config", config) as running:
                    assert running.exit_status() == 0
        finally:
            enough.set()
        # One more, that does not leave, for who waits in the backlog now.
        with serving([sock], tmp_path, "--config", config, SYSTEMD_EXIT_ON_IDLE="0"):
            for client in clients:
                client.join()
    assert set(answers) == {b"Happy and well\r\n"}


def test_a_journal_that_nobody_reads_blocks_nobody(tmp_path: Path) -> None:
    probe = (
        "import socket, sys; from fingerd_sd.process.log.journal import NativeJournal;"
        "j = NativeJournal(sys.argv[1]); q = ('q', 'c', 'a', 'found', 's', 1, 1);"
        "[j.query(q) for _ in range(2000)]; print(j.dropped)"
    )
    path = str(tmp_path / "journal")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nobody:
        nobody.bind(path)
        done = subprocess.run(
            [sys.executable, "-c", probe, path],
            cwd=ROOT,
            check=True,
            capture_output=True,
            timeout=PATIENCE,
        )
    assert int(done.stdout) > 0


def test_runs_under_systemd_socket_activate(tmp_path: Path) -> None:
    needs.programs("systemd-socket-activate")
    needs.modules("systemd")
    with listener() as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            "systemd-socket-activate",
            *("-l", f"127.0.0.1:{port}", "--fdname=finger", f"--setenv=PYTHONPATH={ROOT}"),
            *(sys.executable, "-m", "fingerd_sd", "serve"),
            *("--config", configured(tmp_path, MOSHEZ)),
        ],
        stderr=subprocess.PIPE,
        cwd="/",
    )
    try:
        assert process.stderr is not None
        assert b"Listening" in process.stderr.readline()
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.settimeout(PATIENCE)
            client.sendall(b"moshez\r\n")
            assert everything(client) == b"Happy and well\r\n"
    finally:
        process.terminate()
        process.wait(PATIENCE)
        assert process.stderr is not None
        process.stderr.close()


def test_gives_memory_back_where_systemd_says_that_it_is_short(tmp_path: Path) -> None:
    config = configured(tmp_path, MOSHEZ)
    os.mkfifo(tmp_path / "pressure")
    with (
        listener() as sock,
        serving(
            [sock], tmp_path, "--config", config, MEMORY_PRESSURE_WATCH=f"{tmp_path}/pressure"
        ) as running,
    ):
        assert ask(sock, b"moshez\r\n") == b"Happy and well\r\n"
        (tmp_path / "pressure").write_bytes(b"x")
        running.wait_for("memory given back 1 time")
        assert ask(sock, b"moshez\r\n") == b"Happy and well\r\n"
        assert running.stop() == 0


def test_a_host_that_is_this_server_is_no_other_on_either_path(tmp_path: Path) -> None:
    config = configured(tmp_path, MOSHEZ)
    denied, happy = b"Finger forwarding service denied\r\n", b"Happy and well\r\n"
    here, there = (f"moshez@127.0.0.{last}\r\n".encode() for last in (1, 2))
    with (
        listener(("0.0.0.0", 0)) as sock,
        listener(("::1", 0)) as six,
        serving([sock, six], tmp_path, "--config", config) as running,
    ):
        port = sock.getsockname()[1]

        def asked(host: str, line: bytes, pieces: int = 1) -> bytes:
            with socket.create_connection((host, port)) as client:
                client.settimeout(PATIENCE)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for start in range(0, len(line), len(line) // pieces):
                    client.sendall(line[start : start + len(line) // pieces])
                return everything(client)

        for pieces in (1, 5):
            for _ in range(2):
                assert asked("127.0.0.1", here, pieces) == happy
                assert asked("127.0.0.2", here, pieces) == denied
                assert asked("127.0.0.2", there, pieces) == happy
                assert asked("127.0.0.1", there, pieces) == denied
                assert asked("127.0.0.1", b"moshez@LocalHost.\r\n", pieces) == happy
        for line in (b"moshez@::1\r\n", b"moshez@[0:0::1]\r\n", b"moshez@localhost\r\n"):
            assert ask(six, line) == happy
        assert ask(six, here) == denied
        assert running.stop() == 0


# The command, in which the first step also says which modules there are, and gets a signal.
_FIRST = """
import os, sys
from fingerd_sd.commands import serve
step = serve.answer_first
def watched(*arguments):
    taken = step(*arguments)
    print("modules", *sys.modules, "end", file=sys.stderr)
    if os.environ.get("SEND"):
        os.kill(os.getpid(), int(os.environ["SEND"]))
    return taken
serve.answer_first = watched
sys.argv = ["fingerd-sd", *sys.argv[1:]]
from fingerd_sd.commands.cli import main
sys.exit(main())
"""
# Without site, whose .pth files import what they like.
_PATHS = f"import sys; sys.path[:] = {[str(ROOT), *sys.path]!r}"
FIRST = (sys.executable, "-I", "-S", "-c", _PATHS + _FIRST)
LATER = {"asyncio", "logging", "_ssl", "socket", "threading", "selectors", "concurrent.futures"}


def test_the_first_client_is_answered_before_what_takes_long_is_imported(tmp_path: Path) -> None:
    needs.modules("systemd")
    config = configured(tmp_path, MOSHEZ)
    with listener() as sock, socket.create_connection(sock.getsockname()) as client:
        client.settimeout(PATIENCE)
        client.sendall(b"moshez\r\n")
        with serving([sock], tmp_path, "serve", "--config", config, command=FIRST) as running:
            assert everything(client) == b"Happy and well\r\n"
            assert ask(sock, b"moshez\r\n") == b"Happy and well\r\n"  # the loop goes on
            assert running.stop() == 0
            log = running.stderr()
    modules = set(log.partition("modules")[2].partition(" end\n")[0].split())
    assert "fingerd_sd.serving.finger.first" in modules
    assert modules & LATER == set()
    assert log.count("moshez from 127.0.0.1: found") == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_between_the_first_answers_and_the_loop_loses_nobody(
    tmp_path: Path, number: signal.Signals
) -> None:
    needs.modules("systemd")
    config = configured(tmp_path, MOSHEZ)
    with listener() as sock, socket.create_connection(sock.getsockname()) as client:
        client.settimeout(PATIENCE)
        client.sendall(b"mosh")  # half a line: held from the first step on
        arguments = ("serve", "--config", config)
        send = str(int(number))
        with serving([sock], tmp_path, *arguments, command=FIRST, SEND=send) as running:
            running.wait_for("STOPPING=1" if number == signal.SIGTERM else "RELOADING=1")
            client.sendall(b"ez\r\n")
            assert everything(client) == b"Happy and well\r\n"
            if number == signal.SIGHUP:
                running.process.send_signal(signal.SIGTERM)
            assert running.exit_status() == 0
