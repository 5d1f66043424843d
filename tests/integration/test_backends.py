# SPDX-License-Identifier: MIT
"""A real process whose answers come from a program or a web site: what it opens it closes."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.integration.process import PATIENCE, ask, configured, listener, serving

from ..helpers import needs


@pytest.fixture(scope="module", autouse=True)
def _aiohttp() -> None:
    needs.modules("aiohttp")


class Site(ThreadingHTTPServer):
    """A web server on loopback that keeps connections open. `gone`: one of them was closed."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 200
        self.gone = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/~{{user}}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Site

    def do_GET(self) -> None:
        body = f"page of {self.path}".encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def finish(self) -> None:
        super().finish()
        self.server.gone.set()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def web(site: Site, ttl: float = 60) -> str:
    return f'[[source]]\ntype = "web"\nurl = "{site.url}"\nttl = {ttl}\n'


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < deadline, f"waited for {path}"
        time.sleep(0.01)
    return path.read_text()


@pytest.mark.parametrize("end", ["reload", "stop"])
def test_connections_to_a_site_are_closed_on_reload_and_at_the_end(
    tmp_path: Path, site: Site, end: str
) -> None:
    config = configured(tmp_path, web(site))
    with listener() as sock, serving([sock], tmp_path, "--config", config) as running:
        assert ask(sock, b"alice\r\n") == b"page of /~alice\r\n"
        assert not site.gone.is_set()
        if end == "reload":
            running.process.send_signal(signal.SIGHUP)
        else:
            assert running.stop() == 0
            assert "rror" not in running.stderr()
        assert site.gone.wait(PATIENCE)
        if end == "reload":
            assert ask(sock, b"alice\r\n") == b"page of /~alice\r\n"
            assert running.stop() == 0


def test_the_status_tells_of_a_site_that_fails_and_of_its_return(
    tmp_path: Path, site: Site
) -> None:
    config = configured(tmp_path, web(site, ttl=0))
    site.status = 503
    with listener() as sock, serving([sock], tmp_path, "--config", config) as running:
        assert ask(sock, b"alice\r\n") == b"Internal error in server\r\n"
        told = running.wait_for("fails for")
        assert "HTTP status 503" in told
        assert "asked again in" in told
        site.status = 200
        deadline = time.monotonic() + PATIENCE
        while ask(sock, b"alice\r\n") != b"page of /~alice\r\n":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        while "fails for" in running.wait_for("STATUS="):
            ask(sock, b"alice\r\n")
        assert running.stop() == 0
        log = running.stderr()
    assert log.count("is asked less often until it is back: HTTP status 503") == 1
    assert log.count("answers again") == 1


@pytest.mark.parametrize("patient", [True, False])
def test_a_process_that_stops_leaves_no_program_behind(tmp_path: Path, patient: bool) -> None:
    """Neither where the client had its answer before the program's end, nor where a second signal
    does not even wait for that.
    """
    pids = tmp_path / "pids"
    script = f"sleep 3600 & echo $$ $! >{pids}.new; mv {pids}.new {pids}; wait"
    argv = ["/bin/sh", "-c", script, "--", "{user}"]
    text = f'[[source]]\ntype = "command"\nargv = {argv!r}\ntimeout = 3000\n'
    config = configured(tmp_path, f"{text}[server]\nanswer_timeout = {0.5 if patient else 3000}\n")
    with (
        listener() as sock,
        serving([sock], tmp_path, "--config", config) as running,
        socket.create_connection(sock.getsockname()) as client,
    ):
        client.sendall(b"alice\r\n")
        programs = [int(pid) for pid in wait_for(pids).split()]
        running.process.send_signal(signal.SIGTERM)
        if not patient:
            running.wait_for("STOPPING=1")
            running.process.send_signal(signal.SIGTERM)
        assert running.exit_status() == 0
    deadline = time.monotonic() + PATIENCE
    while not all(map(gone, programs)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
