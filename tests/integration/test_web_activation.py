# SPDX-License-Identifier: MIT
"""A real process behind finger-web.socket: ready, reload, watchdog, drain, idle exit, log."""

from __future__ import annotations

import signal
import socket
import threading
from http.client import HTTPConnection
from pathlib import Path

from fingerd_sd.process.log.journal import NativeJournal

from ..helpers import needs
from ..helpers.journald import read_entry
from .process import PATIENCE, configured, everything, listener, serving

needs.modules("aiohttp", "jinja2", "systemd")

MOSHEZ = """
[web]
domains = ["example.org"]
[[source]]
type = "static"
users = { moshez = "Happy and well" }
"""
HAPPY = b"Happy and well\n"
REQUEST = b"GET /~moshez.txt HTTP/1.1\r\nHost: example.org\r\n\r\n"
ROUNDS = 3


def connection(sock: socket.socket) -> HTTPConnection:
    host, port = sock.getsockname()[:2]
    return HTTPConnection(host, port, timeout=PATIENCE)


def get(sock: socket.socket, target: str = "/~moshez.txt") -> tuple[int, bytes]:
    """Return status and body, asked for on a connection of its own."""
    client = connection(sock)
    try:
        client.request("GET", target)
        response = client.getresponse()
        return response.status, response.read()
    finally:
        client.close()


def test_serves_the_web_on_a_socket_of_that_name(tmp_path: Path) -> None:
    config = configured(tmp_path, MOSHEZ)
    with listener() as sock, serving([sock], tmp_path, "--config", config, names="web") as running:
        assert get(sock) == (200, HAPPY)
        assert get(sock, "/~nobody")[0] == 404
        assert get(sock, "/.well-known/webfinger?resource=acct:moshez@example.org")[0] == 200
        running.wait_for("3 requests (2 found, 1 absent)")
        assert running.stop() == 0
        log = running.stderr()
    assert "/~moshez.txt from 127.0.0.1: found" in log
    assert "/~nobody from 127.0.0.1: absent" in log


def test_serves_a_proxy_on_a_unix_socket(tmp_path: Path) -> None:
    config = configured(tmp_path, MOSHEZ)
    path = str(tmp_path / "web")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind(path)
        sock.listen()
        with serving([sock], tmp_path, "--config", config, names="web") as running:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.settimeout(PATIENCE)
                client.connect(path)
                head = b"Connection: close\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n"
                client.sendall(REQUEST.removesuffix(b"\r\n") + head)
                assert everything(client).endswith(HAPPY)
            assert running.stop() == 0
            assert "/~moshez.txt from 198.51.100.7: found" in running.stderr()


def test_a_process_never_serves_finger_and_the_web(tmp_path: Path) -> None:
    config = configured(tmp_path, MOSHEZ)
    with listener() as sock, listener() as other:
        both = serving([sock, other], tmp_path, "--config", config, names="finger:web", ready=False)
        with both as running:
            assert running.exit_status() == 78
            assert "finger.socket and finger-web.socket" in running.stderr()


def test_names_every_mistake_and_leaves_with_78(tmp_path: Path) -> None:
    config = configured(tmp_path, '[web]\ndomain = ["example.org"]\nlinks = 1\n')
    both = serving(sockets := [listener()], tmp_path, "--config", config, names="web", ready=False)
    with sockets[0], both as running:
        assert running.exit_status() == 78
        assert len(running.stderr().splitlines()) == 2


def test_without_the_section_the_machine_says_what_it_is_called(tmp_path: Path) -> None:
    names = '[server]\nnames = ["192.0.2.1", "host", "host.example.net"]\n'
    config = configured(tmp_path, names + MOSHEZ.partition("\n[[")[2].join(["[[", ""]))
    with listener() as sock, serving([sock], tmp_path, "--config", config, names="web"):
        finger = "/.well-known/webfinger?resource=acct:moshez@"
        assert get(sock, f"{finger}host.example.net")[0] == 200
        assert get(sock, f"{finger}host")[0] == 404


def test_a_reload_holds_from_the_next_request(tmp_path: Path) -> None:
    config = configured(tmp_path, MOSHEZ)
    with listener() as sock, serving([sock], tmp_path, "--config", config, names="web") as running:
        client = connection(sock)
        client.request("GET", "/~moshez.txt")
        assert client.getresponse().read() == HAPPY
        Path(config).write_text("this is no TOML")
        running.process.send_signal(signal.SIGHUP)
        running.wait_for("RELOADING=1")
        assert "old configuration in use" in running.wait_for("READY=1")
        client.request("GET", "/~moshez.txt")
        assert client.getresponse().read() == HAPPY
        Path(config).write_text(MOSHEZ.replace("Happy", "Sad"))
        running.process.send_signal(signal.SIGHUP)
        running.wait_for("RELOADING=1")
        running.wait_for("READY=1")
        client.request("GET", "/~moshez.txt")
        assert client.getresponse().read() == b"Sad and well\n"
        client.close()
        assert running.stop() == 0


def test_finishes_what_is_open_and_waits_for_no_connection_that_is_kept(tmp_path: Path) -> None:
    config = configured(tmp_path, MOSHEZ)
    with listener() as sock, serving([sock], tmp_path, "--config", config, names="web") as running:
        kept = connection(sock)
        kept.request("GET", "/~moshez.txt")
        assert kept.getresponse().read() == HAPPY
        with socket.create_connection(sock.getsockname()) as half:
            half.settimeout(PATIENCE)
            half.sendall(REQUEST[:10])
            running.wait_for("1 kept alive, 1 connections open")
            running.process.send_signal(signal.SIGTERM)
            running.wait_for("STOPPING=1")
            half.sendall(REQUEST[10:])
            assert everything(half).endswith(HAPPY)
        assert running.exit_status() == 0
        kept.close()


def test_feeds_the_watchdog(tmp_path: Path) -> None:
    config = configured(tmp_path, MOSHEZ)
    with (
        listener() as sock,
        serving([sock], tmp_path, "--config", config, names="web", WATCHDOG_USEC="100000") as it,
    ):
        for _ in range(3):
            it.wait_for("WATCHDOG=1")


def test_a_connection_that_is_kept_does_not_keep_it_from_leaving_when_idle(tmp_path: Path) -> None:
    config = configured(tmp_path, "[server]\nidle_exit = 0.2\n" + MOSHEZ)
    with listener() as sock, serving([sock], tmp_path, "--config", config, names="web") as running:
        kept = connection(sock)
        kept.request("GET", "/~moshez.txt")
        assert kept.getresponse().read() == HAPPY
        running.wait_for("STOPPING=1")
        assert running.exit_status() == 0
        kept.close()


def test_idle_exits_lose_nobody(tmp_path: Path) -> None:
    config = configured(tmp_path, "[server]\nidle_exit = 0.002\n" + MOSHEZ)
    answers: list[object] = []
    enough = threading.Event()
    with listener() as sock:

        def visit() -> None:
            while not enough.wait(0.004):
                try:
                    answers.append(get(sock))
                except OSError as error:
                    answers.append(error)

        visitor = threading.Thread(target=visit, daemon=True)
        visitor.start()
        try:
            for _ in range(ROUNDS):
                with serving([sock], tmp_path, "--config", config, names="web") as running:
                    assert running.exit_status() == 0
        finally:
            enough.set()
        one_more = serving(
            [sock], tmp_path, "--config", config, names="web", SYSTEMD_EXIT_ON_IDLE="0"
        )
        with one_more:
            visitor.join()
    assert set(answers) == {(200, HAPPY)}


def test_the_entry_of_a_request_has_all_fields_of_a_query_and_its_protocol(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
        journald.bind(str(tmp_path / "journal"))
        journal = NativeJournal(str(tmp_path / "journal"))
        journal.query(("/~moshez.txt", "127.0.0.1", "everyone", "found", "static", 99, 7), "web")
        entry = read_entry(journald.recv(65536))
        journal.query(("moshez", "127.0.0.1", "everyone", "found", "static", 99, 7))
        plain = read_entry(journald.recv(65536))
        if journal._socket is not None:
            journal._socket.close()
    assert entry["FINGER_PROTOCOL"] == "web"
    assert entry["FINGER_USEC"] == "7"
    assert entry["MESSAGE"] == "/~moshez.txt from 127.0.0.1: found"
    assert set(entry) - set(plain) == {"FINGER_PROTOCOL"}
