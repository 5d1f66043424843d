# SPDX-License-Identifier: MIT
"""The command: check, ask, serve; what they print, and their exit statuses."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from fingerd_sd import __version__
from fingerd_sd.commands import cli, settings

from ..helpers import third_party
from ..helpers.ordinary import as_ordinary_user, reachable_folder
from ..helpers.third_party import ORACLE
from ..helpers.wire_cases import HAPPY

ROOT = Path(__file__).parents[2]
PATIENCE = 60  # seconds until a process that does not end fails a test
COMMAND = [sys.executable, "-m", "fingerd_sd"]
# Of what systemd may have told the tests themselves, the command hears nothing.
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("LISTEN_", "NOTIFY_", "WATCHDOG_", "JOURNAL_", "SYSTEMD_"))
}

VILLAGE = """
[server]
max_query = 100

[[audience]]
name = "inside"
networks = ["127.0.0.0/8", "192.0.2.0/24", "2001:db8::/32"]
show = "all"

[[source]]
type = "static"
users = { moshez = "Happy and well" }

[[source]]
type = "static"
[source.users.alice]
name = "Alice Liddell"
office = "Hill 016"
"""


@pytest.fixture
def village(tmp_path: Path) -> str:
    file = tmp_path / "fingerd.toml"
    file.write_text(VILLAGE)
    return str(file)


def run(*arguments: str, expect: int) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == expect, done.stderr
    return done


# --- ask ---


@pytest.mark.parametrize(
    ("query", "status", "answer"),
    [
        (["moshez"], 0, "Happy and well\r\n"),
        (["MOSHEZ"], 0, "Happy and well\r\n"),
        (["bob"], 1, "No such user\r\n"),
        ([""], 2, "Finger online user list denied\r\n"),
        ([], 2, "Finger online user list denied\r\n"),
        (["/W"], 2, "Finger online user list denied\r\n"),
        (["alice@h"], 2, "Finger forwarding service denied\r\n"),
        (["\x1b"], 2, "Malformed query\r\n"),
        (["a" * 98], 1, "No such user\r\n"),
        (["a" * 99], 2, "Malformed query\r\n"),
        (["\udce9"], 2, "Malformed query\r\n"),
        (["--", "-s bob"], 1, "No such user\r\n"),
    ],
)
def test_ask_prints_what_a_client_gets_and_tells_by_its_status(
    village: str,
    query: Sequence[str],
    status: int,
    answer: str,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    assert cli.main(["ask", "--config", village, *query]) == status
    assert capfdbinary.readouterr() == (answer.encode(), b"")


ALL = b"Login: alice          \t\t\tName: Alice Liddell\r\nOffice: Hill 016\r\nNo Plan.\r\n"
LESS = b"Login: alice          \t\t\tName: Alice Liddell\r\nNo Plan.\r\n"


@pytest.mark.parametrize(
    ("address", "answer"),
    [
        ("192.0.2.1", ALL),
        ("::ffff:192.0.2.1", ALL),
        ("2001:db8::1", ALL),
        ("198.51.100.1", LESS),
        ("::1", LESS),
        ("fe80::1%eth0", LESS),
        (None, ALL),
    ],
)
def test_ask_answers_as_for_a_client_at_the_address(
    village: str,
    address: str | None,
    answer: bytes,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    asking = [] if address is None else ["--from", address]
    assert cli.main(["ask", "--config", village, *asking, "alice"]) == 0
    assert capfdbinary.readouterr().out == answer


def test_ask_takes_the_switch_as_a_word_of_its_own(
    village: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    for query in (["/W", "alice"], ["/W alice"], ["alice", "/W"]):
        assert cli.main(["ask", "--config", village, *query]) == 0
        assert capfdbinary.readouterr().out == ALL


def test_ask_does_not_know_what_is_no_address(
    village: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert cli.main(["ask", "--config", village, "--from", "here", "alice"]) == 64
    out, err = capfdbinary.readouterr()
    assert out == b""
    assert b'"here" is no IPv4 or IPv6 address' in err


def test_ask_explains_on_standard_error(
    village: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    arguments = ["ask", "--config", village, "--from", "198.51.100.1", "--explain", "alice"]
    assert cli.main(arguments) == 0
    out, err = capfdbinary.readouterr()
    assert out == LESS
    lines = err.decode().splitlines()
    assert 'audience: "everyone" (198.51.100.1 is in 0.0.0.0/0, ::/0)' in lines
    assert "source: static: no such name or alias" in lines
    assert "source: static-2: knows the user" in lines
    assert f"name: {village}: source[2].users.alice.name" in lines
    assert 'office: hidden: not in show of the audience "everyone"' in lines
    assert "plan: nothing to show" in lines


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("", 2, 'refused: the audience "inside" has list = false'),
        ("\x1b", 2, "malformed: a character that cannot be printed"),
        ("bob", 1, "source: static-2: no such name or alias"),
        ("a" * 200, 2, "100"),
    ],
)
def test_ask_explains_what_is_not_answered_too(
    village: str, query: str, status: int, said: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert cli.main(["ask", "--config", village, "--explain", query]) == status
    assert said in capfdbinary.readouterr().err.decode()


def test_ask_names_every_mistake(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    file = tmp_path / "fingerd.toml"
    file.write_text("[server]\nmax_query = 1\nidle_exti = 1\n")
    assert cli.main(["ask", "--config", str(file), "alice"]) == 78
    out, err = capfdbinary.readouterr()
    assert out == b""
    assert err.count(b"\n") == 2


def test_ask_in_a_process_of_its_own(village: str) -> None:
    done = run("ask", "--config", village, "moshez", expect=0)
    assert (done.stdout, done.stderr) == ("Happy and well\n", "")
    run("ask", "--config", village, "bob", expect=1)


# --- check ---


def test_check_says_that_all_is_in_order(
    village: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert cli.main(["check", "--config", village]) == 0
    out, err = capfdbinary.readouterr()
    assert out.decode() == f"{village}: in order; sources: static, static-2\n"
    assert err == b""


def test_check_names_file_and_key_of_every_mistake(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    file = tmp_path / "fingerd.toml"
    file.write_text(
        "[server]\nmax_qeury = 5\n[[audience]]\nshow = ['nmae']\n[[source]]\ntype = 'statc'\n"
    )
    assert cli.main(["check", "--config", str(file)]) == 78
    out, err = capfdbinary.readouterr()
    assert out == b""
    lines = err.decode().splitlines()
    assert len(lines) == 3
    assert f'{file}: server.max_qeury: unknown key; did you mean "max_query"?' in lines
    assert any(line.startswith(f"{file}: audience[1].show: ") for line in lines)
    assert any(line.startswith(f"{file}: source[1].type: ") for line in lines)


def test_check_warns_of_what_is_unwise(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    file = tmp_path / "fingerd.toml"
    file.write_text("[server]\nidle_exit = 5\n[[source]]\ntype = 'static'\n")
    assert cli.main(["check", "--config", str(file)]) == 0
    err = capfdbinary.readouterr().err.decode()
    assert err.startswith(f"warning: {file}: server.idle_exit: 5 s is so short")


def test_check_names_a_package_whose_source_says_that_it_answers_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    module = ORACLE.replace(
        "async def find(", "async def find(self, user): return None\n\n        def find_now("
    )
    third_party.install(tmp_path, "oracle = oracle:read", module)
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "fingerd.toml"
    file.write_text("[[source]]\ntype = 'static'\n[[source]]\ntype = 'oracle'\n")
    assert cli.main(["check", "--config", str(file)]) == 0
    [note] = capfdbinary.readouterr().err.decode().splitlines()
    assert note.startswith("note: oracle: oracle says that this source answers at once; ")


@pytest.mark.parametrize("command", ["check", "ask"])
def test_a_named_file_that_is_not_there_is_a_mistake(
    command: str, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert cli.main([command, "--config", str(tmp_path / "nowhere.toml")]) == 78
    assert b"nowhere.toml: does not exist" in capfdbinary.readouterr().err


@pytest.mark.parametrize("mode", [0o000, 0o644])
def test_a_named_file_that_cannot_be_reached_is_a_mistake(
    mode: int, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with reachable_folder() as folder:
        home = folder / "home"
        home.mkdir()
        file = home / "fingerd.toml"
        file.touch(mode=mode)
        home.chmod(0)
        status = as_ordinary_user(lambda: cli.main(["check", "--config", str(file)]))
    assert status == 78
    assert str(file).encode() in capfdbinary.readouterr().err


def test_only_the_systems_own_file_has_drop_ins(
    village: str, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    whole = settings.load
    read: list[object] = []

    def load(*arguments: Path | None) -> settings.Settings:
        """Of what is asked for, read the village only."""
        read.append(arguments or whole.__defaults__)
        return whole(Path(village), None)

    monkeypatch.setattr(settings, "load", load)
    assert cli.main(["check", "--config", village]) == 0
    assert cli.main(["check"]) == 0
    assert read == [
        (Path(village), None),
        ("/etc/fingerd-sd/fingerd.toml", "/etc/fingerd-sd/conf.d"),
    ]


# --- serve ---


def test_serve_without_a_socket_says_what_to_do(village: str) -> None:
    for arguments in (["serve", "--config", village], ["serve"], []):
        said = run(*arguments, expect=64).stderr
        assert "systemctl enable --now finger.socket" in said
        assert "--listen" in said
        assert said.startswith("")


def test_serve_with_bad_configuration_names_every_mistake(tmp_path: Path) -> None:
    file = tmp_path / "fingerd.toml"
    file.write_text("[server]\nmax_query = 1\nidle_exti = 1\n")
    said = run("serve", "--config", str(file), "--listen", "127.0.0.1:0", expect=78).stderr
    assert [line.split(": ")[:2] for line in said.splitlines()] == [
        [f"{file}", "server.max_query"],
        [f"{file}", "server.idle_exti"],
    ]


def test_serve_says_which_address_is_taken(village: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = run("serve", "--config", village, "--listen", f"127.0.0.1:{port}", expect=69).stderr
    assert f"127.0.0.1 port {port}: Address already in use" in said


@pytest.mark.parametrize(
    "address", ["79", "localhost", "127.0.0.1:", ":79", "127.0.0.1:x", "127.0.0.1:65536", "h:٧٩"]
)
def test_what_is_no_address_to_listen_on_is_refused(
    address: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["serve", "--listen", address])
    assert left.value.code == 64
    assert b"127.0.0.1:1079 or [::1]:1079" in capfdbinary.readouterr().err


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_serve_serves_what_it_listens_on_until_it_is_told_to_stop(
    village: str, stop: signal.Signals
) -> None:
    process = subprocess.Popen(
        [
            *(*COMMAND, "serve", "--config", village),
            *("--listen", "127.0.0.1:0", "--listen", "[::1]:0"),
        ],
        cwd=ROOT,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
    )
    timer = threading.Timer(PATIENCE, process.kill)
    timer.start()
    try:
        assert process.stderr is not None
        with process.stderr:
            first = process.stderr.readline()
            match = re.fullmatch(r"Serving 127\.0\.0\.1:(\d+), \[::1\]:(\d+)\n", first)
            assert match, first
            for host, port in zip(("127.0.0.1", "::1"), match.groups(), strict=True):
                with socket.create_connection((host, int(port)), PATIENCE) as client:
                    client.sendall(b"moshez\r\n")
                    assert client.recv(100) == HAPPY
            process.send_signal(stop)
            rest = process.stderr.read().splitlines()
        assert process.wait(PATIENCE) == 0
    finally:
        timer.cancel()
        process.kill()
        process.wait()
    assert rest[:2] == ["moshez from 127.0.0.1: found", "moshez from ::1: found"]
    assert rest[2].startswith(f"Stopped: {stop.name}; 2 queries (2 found)")


# --- the command line ---


def test_it_tells_its_version(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["--version"])
    assert left.value.code == 0
    assert capfdbinary.readouterr().out.decode() == f"fingerd-sd {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["serve", "--help"], ["check", "--help"], ["ask", "--help"]],
)
def test_it_helps(arguments: list[str], capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    assert left.value.code == 0
    assert b"usage: fingerd-sd" in capfdbinary.readouterr().out


@pytest.mark.parametrize("arguments", [["sreve"], ["serve", "--lisen", "x"], ["check", "x"]])
def test_what_it_does_not_know_it_refuses(
    arguments: list[str], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    assert left.value.code == 64
    assert b"usage: fingerd-sd" in capfdbinary.readouterr().err


def test_ask_answers_where_standard_error_is_closed(village: str) -> None:
    command = [sys.executable, "-m", "fingerd_sd", "ask", "--config", village, "nobody"]
    closed = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" 2>&-', "sh", *command],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        timeout=60,
        check=False,
    )
    assert (closed.returncode, closed.stdout) == (1, b"No such user\r\n")
