# SPDX-License-Identifier: MIT
"""The command source: real programs, real process groups, what must not get through."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from fingerd_sd.commands import settings
from fingerd_sd.commands.cli import main
from fingerd_sd.config.mistakes import ConfigError
from fingerd_sd.directory.source import SourceError
from fingerd_sd.protocol.entry import Absent, Text
from fingerd_sd.sources.command.source import CommandSource, Options, arguments

from ...helpers import needs
from ...helpers.clock import put_forward
from ...helpers.houses import bare

PATIENCE = 30.0  # seconds; reached only by a failure
SHELL_METACHARACTERS = (
    *(";id", "$(id)", "`id`", "|id", "&id", ">id", "a b", "*", "%s", "\\", "'", '"', "~root"),
)


def source(*argv: str, **options: Any) -> CommandSource:
    """Return a source that runs `argv`."""
    return CommandSource("command", Options(argv, **{"timeout": PATIENCE, **options}))


def sh(script: str, **options: Any) -> CommandSource:
    """Return a source that runs a shell script, the user as $1."""
    return source("/bin/sh", "-c", script, "sh", "--", "{user}", **options)


def find(asked: CommandSource, user: str = "alice") -> Text | Absent:
    return asyncio.run(asked.find(user))


def said(asked: CommandSource, user: str = "alice") -> str:
    found = find(asked, user)
    assert isinstance(found, Text)
    return found.text


def failure(asked: CommandSource, user: str = "alice") -> str:
    with pytest.raises(SourceError) as caught:
        find(asked, user)
    return str(caught.value)


async def until(event: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not event():
        assert time.monotonic() < deadline, f"waited for {what}"
        await asyncio.sleep(0.01)


def is_gone(pid: int) -> bool:
    """Whether `pid` runs no more; what a slow init has not reaped counts as gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def children() -> set[int]:
    """Return this process's children, zombies too: proc(5), the fourth field of stat."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(FileNotFoundError, ProcessLookupError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == os.getpid():
                    found.add(int(folder.name))
    return found


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """Fail a test that leaves a child, a zombie too, or an open descriptor. Other tests of the same
    run may have some that stay, such as machines that are booted.
    """
    before, were = len(os.listdir("/proc/self/fd")), children()
    yield
    assert children() - were == set()
    assert len(os.listdir("/proc/self/fd")) == before


# --- what it says ---


def test_the_output_is_the_answer() -> None:
    assert bare(find(source("/usr/bin/printf", "%s lives", "{user}"))) == Text("alice lives")


def test_both_streams_are_the_answer_in_their_order() -> None:
    assert said(sh("echo one; echo two >&2; echo three")) == "one\ntwo\nthree\n"


def test_the_name_is_a_whole_argument_or_within_one() -> None:
    printed = ("/usr/bin/printf", "[%s]", "user={user}", "{user}", "{user}.{user}")
    assert said(source(*printed)) == "[user=alice][alice][alice.alice]"


def test_output_that_is_not_utf_8_is_repaired() -> None:
    assert said(sh(r"printf 'caf\351'")) == "café"


@pytest.mark.parametrize("status", [1, 7])
def test_the_exit_statuses_of_absent_mean_that_there_is_no_such_user(status: int) -> None:
    found = find(sh(f"echo no; exit {status}", absent=frozenset({1, 7})))
    assert found == Absent(f"/bin/sh: exit status {status}")


def test_another_exit_status_is_a_failure_that_tells_what_was_said() -> None:
    assert failure(sh("echo 'database is away' >&2; exit 3")) == (
        "/bin/sh: exit status 3: database is away"
    )


def test_a_signal_is_a_failure() -> None:
    assert failure(sh("kill -SEGV $$")) == "/bin/sh: killed by SIGSEGV"


def test_a_missing_program_is_a_failure() -> None:
    assert failure(source("/nonexistent/finger", "{user}")) == (
        "/nonexistent/finger: cannot be run: No such file or directory"
    )


def test_a_program_that_may_not_be_run_is_a_failure_that_names_the_sandbox(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "ExecPaths=" in failure(source(str(tmp_path / "file"), "{user}"))


def test_one_line_with_absent_text_means_that_there_is_no_such_user() -> None:
    quoted = "echo 'finger: alice: no such user.'"
    assert isinstance(find(sh(quoted, absent_text=": no such user.")), Absent)
    assert isinstance(find(sh(quoted)), Text)
    # In somebody's plan it is just text.
    assert isinstance(find(sh(f"echo Plan:; {quoted}", absent_text=": no such user.")), Text)


# --- who asks cannot reach further ---


@pytest.mark.parametrize("user", SHELL_METACHARACTERS)
def test_shell_metacharacters_arrive_as_they_are(user: str) -> None:
    assert said(source("/usr/bin/printf", "[%s]", "{user}"), user) == f"[{user}]"


@pytest.mark.parametrize("user", ["-s", "--help", "-", "--", "-l alice"])
def test_a_name_like_an_option_is_absent_where_no_dashes_precede_it(user: str) -> None:
    asked = source("/usr/bin/printf", "%s", "{user}")
    assert isinstance(find(asked, user), Absent)
    assert said(source("/usr/bin/printf", "--", "%s", "{user}"), user) == user
    assert said(source("/usr/bin/printf", "%s", "--user={user}"), user) == f"--user={user}"


def test_only_dashes_before_the_name_protect_it() -> None:
    assert arguments(["/p", "{user}", "--"], "-x") is None
    assert arguments(["/p", "{user}x", "--"], "-x") is None
    assert arguments(["/p", "--", "{user}"], "-x") == [b"/p", b"--", b"-x"]


def test_a_name_with_a_nul_is_a_failure_not_a_crash() -> None:
    assert "cannot be run" in failure(source("/usr/bin/printf", "{user}"), "a\0b")


def test_the_child_has_no_environment_but_a_named_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hidden")
    monkeypatch.setenv("LD_PRELOAD_NOT", "hidden")
    names = {line.split("=")[0] for line in said(source("/usr/bin/env")).splitlines()}
    assert names == {"PATH", "LANG", "HOME", "TERM"}


def test_the_child_inherits_no_descriptor() -> None:
    read, write = os.pipe()
    os.set_inheritable(write, True)
    try:
        listed = said(sh("for fd in /proc/$$/fd/*; do readlink $fd; done; true"))
    finally:
        os.close(read)
        os.close(write)
    stdin, stdout, stderr = listed.splitlines()
    assert stdin == "/dev/null"
    assert stdout == stderr
    assert stdout.startswith("pipe:")


def test_the_child_leads_a_session_of_its_own_in_the_root() -> None:
    script = "import os; print(os.getsid(0) == os.getpgid(0) == os.getpid(), os.getcwd())"
    assert said(source(sys.executable, "-c", script)) == "True /\n"


# --- bounds ---


def test_endless_output_is_cut_with_a_mark_and_no_sequence_is_split() -> None:
    found = find(sh("exec yes ééé", max_output=1002))
    assert isinstance(found, Text)
    text, mark, end = found.text.rsplit("\n", 2)
    assert (mark, end) == ("[the rest was cut off]", "")
    assert set(text) == {"é", "\n"}
    assert 998 <= len(text.encode()) <= 1002
    assert "cut" in found.origin


def test_output_of_just_max_output_is_whole() -> None:
    assert said(sh("printf 12345678", max_output=8)) == "12345678"


def test_a_program_that_ends_in_time_is_not_disturbed_by_closing_its_output() -> None:
    assert isinstance(find(sh("exec >&- 2>&-; exit 1")), Absent)


def test_the_deadline_kills_the_whole_process_group(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    async def miss() -> None:
        asked = asyncio.create_task(
            sh(f"sleep 3600 & echo $$ $! >{pids}.new; mv {pids}.new {pids}; wait").find("alice")
        )
        await until(pids.exists, "the program to run")
        put_forward(PATIENCE)
        with pytest.raises(SourceError, match="no end in 30 s; killed"):
            await asked
        for pid in map(int, pids.read_text().split()):
            await until(lambda: is_gone(pid), f"{pid} to be gone")  # noqa: B023

    asyncio.run(miss())


def test_what_a_program_leaves_in_the_background_is_killed() -> None:
    pid = int(said(sh("sleep 3600 >/dev/null 2>&1 & echo $!")))
    asyncio.run(until(lambda: is_gone(pid), "the rest of the group to be gone"))


def test_who_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    async def leave() -> None:
        asked = asyncio.create_task(
            sh(f"sleep 3600 & echo $$ $! >{pids}.new; mv {pids}.new {pids}; wait").find("alice")
        )
        await until(pids.exists, "the program to run")
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        for pid in map(int, pids.read_text().split()):
            await until(lambda: is_gone(pid), f"{pid} to be gone")  # noqa: B023

    asyncio.run(leave())


def test_no_more_than_max_running_run_at_once(tmp_path: Path) -> None:
    asked = sh(
        f"mkdir {tmp_path}/$$; echo {tmp_path}/* | wc -w; sleep 0.01; rmdir {tmp_path}/$$",
        max_running=3,
    )

    async def ask_all() -> list[Text | Absent]:
        return await asyncio.gather(*(asked.find(f"u{number}") for number in range(24)))

    found = asyncio.run(ask_all())
    assert all(isinstance(one, Text) and 1 <= int(one.text) <= 3 for one in found)


def test_who_waits_for_a_place_waits_within_the_deadline(tmp_path: Path) -> None:
    asked = sh(f"echo >{tmp_path}/$1; sleep 3600", max_running=1)

    async def ask_two() -> None:
        first = asyncio.create_task(asked.find("first"))
        await until((tmp_path / "--").exists, "the first to run")
        second = CommandSource("second", Options(("/bin/true",), timeout=0.1, max_running=1))
        second._places = asked._places
        with pytest.raises(SourceError, match="1 were running all the time"):
            await second.find("second")
        put_forward(PATIENCE)
        with pytest.raises(SourceError, match="killed"):
            await first

    asyncio.run(ask_two())


def test_many_runs_of_all_kinds_leave_nothing() -> None:
    kinds = (sh("exit 0"), sh("kill -9 $$"), sh("yes", max_output=9), source("/nonexistent"))

    async def ask_all() -> list[Text | Absent | BaseException]:
        finds = [kind.find("alice") for _ in range(10) for kind in kinds]
        return await asyncio.gather(*finds, return_exceptions=True)

    types = [type(found) for found in asyncio.run(ask_all())]
    assert types == [Text, SourceError, Text, SourceError] * 10


def test_a_stopped_child_is_killed_as_well() -> None:
    assert "killed" in failure(sh("kill -STOP $$", timeout=0.5))


# --- the configuration ---


def configured(tmp_path: Path, text: str) -> settings.Settings:
    file = tmp_path / "fingerd.toml"
    file.write_text(text)
    return settings.load(file, None)


@pytest.mark.parametrize(
    ("lines", "key", "words"),
    [
        ("", "argv", "is missing"),
        ('argv = ["finger", "{user}"]', "argv", "whole path"),
        ('argv = ["/usr/bin/finger"]', "argv", "every user"),
        ('argv = ["/opt/{user}", "x"]', "argv", "who asks would choose"),
        ('argv = "/usr/bin/finger {user}"', "argv", "array"),
        ('argv = ["/bin/echo", "{user}"]\nabsent = [300]', "absent", "0 to 255"),
        ('argv = ["/bin/echo", "{user}"]\nmax_runing = 3', "max_runing", '"max_running"'),
        ('argv = ["/bin/echo", "{user}"]\ntimeout = 0', "timeout", "0.1"),
    ],
)
def test_mistakes_are_named_by_key(tmp_path: Path, lines: str, key: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, f'[[source]]\ntype = "command"\n{lines}\n')
    assert [mistake.key for mistake in caught.value.mistakes] == [f"source[1].{key}"]
    assert words in str(caught.value)


def test_a_program_that_is_not_there_is_a_warning_only(tmp_path: Path) -> None:
    text = '[[source]]\ntype = "command"\nargv = ["/nonexistent/finger", "--", "{user}"]\n'
    (warning,) = configured(tmp_path, text).warnings
    assert "/nonexistent/finger" in str(warning)


def test_ttl_is_the_life_of_an_answer() -> None:
    assert sh("", ttl=60).lifetime == 60
    assert sh("").lifetime == 0


# --- through the whole house ---

ESCAPES = r"printf 'a\033[31m\302\233b\177\342\200\256c'"


def test_control_characters_of_a_program_are_never_raw(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    file = tmp_path / "fingerd.toml"
    argv = ["/bin/sh", "-c", ESCAPES, "--", "{user}"]
    file.write_text(f'[[source]]\ntype = "command"\nargv = {argv!r}\n')
    assert main(["ask", "--config", str(file), "--explain", "alice"]) == 0
    out, err = capfdbinary.readouterr()
    assert out == "a^[[31m\ufffdb^?\ufffdc\r\n".encode()
    assert b"text: /bin/sh, the output" in err


def test_a_command_that_is_for_others_is_never_started(tmp_path: Path) -> None:
    file = tmp_path / "fingerd.toml"
    argv = ["/usr/bin/touch", f"{tmp_path}/{{user}}"]
    file.write_text(
        '[[audience]]\nname = "staff"\nnetworks = ["192.0.2.0/24"]\n'
        f'[[source]]\ntype = "command"\nargv = {argv!r}\naudiences = ["staff"]\n'
    )
    assert main(["ask", "--config", str(file), "alice"]) == 1
    assert not (tmp_path / "alice").exists()
    assert main(["ask", "--config", str(file), "--from", "192.0.2.7", "alice"]) == 0
    assert (tmp_path / "alice").exists()


def test_debians_finger_answers(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    needs.programs("finger")
    file = tmp_path / "fingerd.toml"
    file.write_text(
        '[[source]]\ntype = "command"\nargv = ["/usr/bin/finger", "-lm", "--", "{user}"]\n'
        'absent_text = ": no such user."\n'
    )
    assert main(["ask", "--config", str(file), "root"]) == 0
    assert capfdbinary.readouterr().out.startswith(b"Login: root")
    for user in ("-s", "--help", "-lmsp", "/etc/passwd", "nobody-has-this-name", "$(id)"):
        assert main(["ask", "--config", str(file), "--", user]) == 1
        assert capfdbinary.readouterr().out == b"No such user\r\n"


def test_the_group_is_not_ours() -> None:
    """A signal to the child's group must never reach this process."""
    seen: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: seen.append(number))
    try:
        find(sh("trap '' USR1; kill -USR1 0"))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not seen
