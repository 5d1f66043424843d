# SPDX-License-Identifier: MIT
"""A real process that was passed the socket of the metrics beside that of finger."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path

from ..helpers import needs
from ..serving.metrics.figures import Response, read
from .process import PATIENCE, ROOT, ask, configured, everything, listener, serving

MOSHEZ = """
[server]
idle_exit = 0

[[source]]
type = "static"
users = { moshez = "Happy and well" }
"""
NAMES = "finger:metrics"
# The command, which says on SIGUSR1 which modules there are. Without site, whose .pth files import
# what they like.
_TELLING = f"""
import signal, sys
sys.path[:] = {[str(ROOT), *sys.path]!r}
def tell(*_):
    print("modules", *sys.modules, file=sys.stderr, flush=True)
signal.signal(signal.SIGUSR1, tell)
sys.argv = ["fingerd-sd", *sys.argv[1:]]
from fingerd_sd.commands.cli import main
sys.exit(main())
"""
TELLING = (sys.executable, "-I", "-S", "-c", _TELLING)
# What an HTTP request takes, and no query.
HTTP = {"email", "http", "prometheus_client"}


def scrape(sock: socket.socket, path: str = "/metrics") -> Response:
    with socket.create_connection(sock.getsockname()) as client:
        client.settimeout(PATIENCE)
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return read(everything(client))


def test_shows_what_clients_asked(tmp_path: Path) -> None:
    needs.modules("systemd", "prometheus_client")
    config = configured(tmp_path, MOSHEZ)
    with (
        listener() as finger,
        listener() as metrics,
        serving([finger, metrics], tmp_path, "--config", config, names=NAMES) as running,
    ):
        for _ in range(3):
            assert ask(finger, b"moshez\r\n") == b"Happy and well\r\n"
        assert ask(finger, b"nobody\r\n") == b"No such user\r\n"
        lines = scrape(metrics).body.decode().splitlines()
        found = 'fingerd_queries_total{audience="everyone",result="found",source="static"} 3.0'
        assert found in lines
        assert "fingerd_connections_total 4.0" in lines
        assert "fingerd_kept_answer_hits_total 2.0" in lines
        assert "fingerd_config_last_reload_successful 1.0" in lines

        configured(tmp_path, "[server]\nnonsense = 1\n")
        running.process.send_signal(signal.SIGHUP)
        running.wait_for("RELOADING=1")
        running.wait_for("READY=1")
        lines = scrape(metrics).body.decode().splitlines()
        assert "fingerd_config_last_reload_successful 0.0" in lines
        assert 'fingerd_config_reloads_total{result="failure"} 1.0' in lines
        assert found in lines
        well = scrape(metrics, "/healthz")
        assert well.status == 200
        assert well.body.startswith(b"serving, but: the configuration has mistakes")
        assert running.stop() == 0
        assert "moshez from 127.0.0.1: found" in running.stderr()


def test_who_is_answered_first_is_counted_too(tmp_path: Path) -> None:
    needs.modules("systemd", "prometheus_client")
    config = configured(tmp_path, MOSHEZ)
    with (
        listener() as finger,
        listener() as metrics,
        socket.create_connection(finger.getsockname()) as early,
        socket.create_connection(metrics.getsockname()) as scraper,
    ):
        early.sendall(b"moshez\r\n")
        scraper.settimeout(PATIENCE)
        scraper.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        with serving([metrics, finger], tmp_path, "--config", config, names="metrics:finger"):
            assert everything(early) == b"Happy and well\r\n"
            assert b'result="found",source="static"} 1.0' in everything(scraper)


def test_nothing_of_http_is_imported_before_the_first_request_and_nothing_without_the_socket(
    tmp_path: Path,
) -> None:
    needs.modules("systemd", "prometheus_client")
    config = configured(tmp_path, MOSHEZ)
    arguments = (tmp_path, "serve", "--config", config)
    with listener() as finger, listener() as metrics:
        with serving([finger], *arguments, command=TELLING) as running:
            ask(finger, b"moshez\r\n")
            running.process.send_signal(signal.SIGUSR1)
            ask(finger, b"moshez\r\n")
            assert running.stop() == 0
            without = modules(running.stderr())
        sockets = [finger, metrics]
        with serving(sockets, *arguments, command=TELLING, names=NAMES) as running:
            ask(finger, b"moshez\r\n")
            running.process.send_signal(signal.SIGUSR1)
            ask(finger, b"moshez\r\n")
            assert scrape(metrics).status == 200
            running.process.send_signal(signal.SIGUSR1)
            ask(finger, b"moshez\r\n")
            assert running.stop() == 0
            before, after = modules(running.stderr())
    assert [sorted(HTTP & told) for told in (*without, before)] == [[], []]
    assert sorted(HTTP - after) == []
    ours = "fingerd_sd.serving.metrics"
    assert not {name for name in without[0] if name.startswith(ours) or "measuring" in name}
    assert {name for name in before if name.startswith(f"{ours}.")} == {
        f"{ours}.counts",
        f"{ours}.kept",
        f"{ours}.service",
    }


def modules(log: str) -> list[set[str]]:
    """Return the modules that a process has told in its log, each time that it was asked."""
    return [set(line.split()[1:]) for line in log.splitlines() if line.startswith("modules ")]
