# SPDX-License-Identifier: MIT
"""`fingerd-sd publish` against a keeper of a few lines, and against none."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerd_sd.commands import cli
from fingerd_sd.commands.publish import files, telling
from fingerd_sd.config.publish import MAX_SIZE
from fingerd_sd.protocol.text import is_printable
from fingerd_sd.serving.publishing import wire
from fingerd_sd.serving.publishing.client import NotReached, exchange

ESCAPE = "\x1b]0;owned\x07"


class FakeKeeper:
    """Answers on the socket `path` as the keeper does, from memory. `answer`: what it says instead,
    as octets; `asked`: all requests.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[dict[str, Any]] = []
        self.person: dict[str, Any] | None = None
        self.answer: bytes | None = None
        self.deaf = False  # answers before it has read
        self.seen: list[dict[str, Any]] = []
        self.who: dict[str, Any] | None = None
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, contextlib.suppress(OSError):
                    if not self.deaf:
                        line = connection.makefile("rb").readline()
                        self.asked.append(json.loads(line))
                    connection.sendall(self._say() if self.answer is None else self.answer)

    def _say(self) -> bytes:
        request = self.asked[-1]
        if request["do"] == "remove":
            self.person = None
        if request["do"] == "publish":
            person = self.person or {"login": "alice"}
            person |= {"at": time.time()}
            for atom, value in request["set"].items():
                if atom == "status":
                    person |= {"status": value["text"], "until": value["until"]}
                else:
                    person[atom] = value
            for atom in request["unset"]:
                person[atom] = None
            self.person = person
        told = {"ok": True, "at": time.time(), "person": self.person, "seen": self.seen}
        return json.dumps({**told, "who": self.who}).encode() + b"\n"


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[FakeKeeper]:
    made = FakeKeeper(tmp_path / "publish")
    yield made
    made.close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "home"
    made.mkdir()
    monkeypatch.setenv("HOME", str(made))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for variable in ("VISUAL", "EDITOR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("tempfile.tempdir", None)
    return made


class Command:
    """The command of a user with the home `home`; each call returns status, stdout and stderr."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = path
        self.capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        try:
            status = cli.main(["publish", *arguments, "--socket", str(self.path)])
        except SystemExit as left:  # argparse's way
            status = int(left.code or 0)
        said = self.capsys.readouterr()
        return status, said.out, said.err


@pytest.fixture
def command(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(tmp_path / "publish", capsys)


# --- files ---


def test_publishes_the_files_as_they_are_and_unsets_what_is_missing(
    command: Command, keeper: FakeKeeper, home: Path
) -> None:
    (home / ".plan").write_text("Curiouser\nand curiouser!\n")
    (home / ".pubkey").write_text("a key\n")
    said = command()
    assert said == (
        0,
        "Published: plan (2 lines), public key (1 line). Not published: project.\n",
        "",
    )
    assert keeper.asked == [
        {
            "do": "publish",
            "set": {"plan": "Curiouser\nand curiouser!\n", "key": "a key\n"},
            "unset": ["project"],
        }
    ]


def test_the_first_file_with_a_key_is_the_key(
    command: Command, keeper: FakeKeeper, home: Path
) -> None:
    (home / ".pubkey").write_text("second")
    (home / ".pgpkey").write_text("first")
    assert command()[0] == 0
    assert keeper.asked[0]["set"] == {"key": "first"}


def test_text_that_is_not_utf_8_is_latin_1_and_an_empty_plan_is_one(
    command: Command, keeper: FakeKeeper, home: Path
) -> None:
    (home / ".plan").write_bytes(b"")
    (home / ".project").write_bytes(b"caf\xe9")
    assert command()[1] == (
        "Published: project (1 line), plan (empty). Not published: public key.\n"
    )
    assert keeper.asked[0]["set"] == {"plan": "", "project": "café"}


def test_with_no_file_at_all_it_names_those_it_looked_for_and_changes_nothing(
    command: Command, keeper: FakeKeeper, home: Path
) -> None:
    status, out, err = command()
    assert (status, out, keeper.asked) == (64, "", [])
    assert err == (
        "fingerd-sd publish: there is nothing to publish, and nothing is changed: looked for "
        f"{home}/.plan, {home}/.project, {home}/.pgpkey, {home}/.pubkey\n"
    )


def test_a_link_is_followed_and_a_dangling_one_is_a_mistake(
    command: Command, keeper: FakeKeeper, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "dotfiles").write_text("elsewhere")
    (home / ".plan").symlink_to(tmp_path / "dotfiles")
    assert command()[0] == 0
    assert keeper.asked[0]["set"] == {"plan": "elsewhere"}
    (home / ".project").symlink_to("nowhere")
    assert command() == (
        64,
        "",
        f"fingerd-sd publish: {home}/.project: is a link to a file that is not there\n",
    )


def refused(*_: Any) -> None:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "large", "secret"])
def test_what_is_no_text_file_is_refused_and_nothing_is_sent(
    command: Command, keeper: FakeKeeper, home: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = home / ".plan"
    (home / ".project").write_text("in order")
    match kind:
        case "fifo":
            os.mkfifo(plan)
        case "folder":
            plan.mkdir()
        case "device":
            plan.symlink_to("/dev/zero")
        case "large":
            monkeypatch.setattr(files, "MAX_READ", 100)
            plan.write_text("x" * 101)
        case "secret":
            plan.touch()
            monkeypatch.setattr("os.open", refused)  # the superuser may read anything
    told = {
        "fifo": f"is not a regular file: `fingerd-sd publish --plan - < {plan}` reads one",
        "large": "is too large to publish: more than 100 octets",
        "secret": "cannot be read: Permission denied",
    }.get(kind, "is not a regular file")
    assert command() == (64, "", f"fingerd-sd publish: {plan}: {told}\n")
    assert keeper.asked == []


def test_a_home_that_is_not_there_changes_nothing(
    command: Command, keeper: FakeKeeper, home: Path
) -> None:
    home.rmdir()
    for options in ([], ["--mirror"]):
        assert command(*options)[0] == 64
    assert keeper.asked == []


def test_another_file_or_standard_input_is_the_plan_alone(
    command: Command, keeper: FakeKeeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").write_text("other")
    assert command("--plan", str(tmp_path / "other"))[0] == 0
    with open(tmp_path / "other") as file:
        monkeypatch.setattr("sys.stdin", file)
        assert command("--plan", "-")[0] == 0
    told = {"do": "publish", "set": {"plan": "other"}, "unset": []}
    assert keeper.asked == [told, told]
    missing = tmp_path / "missing"
    assert command("--plan", str(missing))[2] == (
        f"fingerd-sd publish: {missing}: there is no such file\n"
    )


def test_files_are_read_as_far_as_any_keeper_takes_them() -> None:
    assert files.MAX_READ == MAX_SIZE
    assert set(files.FILES) == set(wire.TEXTS)
    assert set(telling.TITLES) == {*wire.ATOMS, wire.LINKS}


# --- the user unit ---


def test_a_mirror_follows_the_files_and_takes_the_entry_back_with_the_last(
    command: Command, keeper: FakeKeeper, home: Path
) -> None:
    assert command("--mirror")[0] == 0
    assert [request["do"] for request in keeper.asked] == ["show"]
    (home / ".plan").write_text("here")
    assert command("--mirror")[0] == 0
    count = len(keeper.asked)
    assert command("--mirror")[1] == "Nothing is new, and nothing is published.\n"
    assert [request["do"] for request in keeper.asked[count:]] == ["show"]
    (home / ".plan").unlink()
    assert command("--mirror")[1] == "Removed: none of the files is left.\n"
    assert keeper.person is None


def test_a_mirror_keeps_a_status_that_is_not_over(
    command: Command, keeper: FakeKeeper, home: Path
) -> None:
    (home / ".plan").write_text("here")
    command("--mirror")
    (home / ".plan").unlink()
    command("--status", "on call", "--until", "+1h")
    said = command("--mirror")[1]
    assert said == "No longer published: project, plan, public key.\n"
    assert keeper.person is not None
    assert keeper.person["status"] == "on call"
    keeper.person["until"] = time.time() - 1
    assert command("--mirror")[1] == "Removed: none of the files is left.\n"


# --- status ---


def test_a_status_changes_nothing_else(command: Command, keeper: FakeKeeper, home: Path) -> None:
    (home / ".plan").write_text("not to be sent")
    status, out, _ = command("--status", " on call ", "--until", "2 h")
    assert status == 0
    assert out.startswith('Published: status "on call" until to')
    (request,) = keeper.asked
    until = request["set"]["status"].pop("until")
    assert abs(until - time.time() - 7200) < 600
    assert request == {"do": "publish", "set": {"status": {"text": "on call"}}, "unset": []}
    assert command("--status", "here") == (0, 'Published: status "here" without an end.\n', "")
    assert command("--status", "") == (0, "No longer published: status.\n", "")
    assert keeper.asked[-1] == {"do": "publish", "set": {}, "unset": ["status"]}


def test_a_status_and_a_plan_go_together(
    command: Command, keeper: FakeKeeper, tmp_path: Path
) -> None:
    (tmp_path / "other").write_text("other")
    assert command("--status", "here", "--plan", str(tmp_path / "other"))[0] == 0
    assert keeper.asked[0]["set"] == {"plan": "other", "status": {"text": "here", "until": None}}


BAD_CALLS = {
    ("--status", "x", "--until", "soon"): '--until "soon" is no time that can be understood',
    ("--status", "x", "--until", "2026-01-01 9:00"): "has passed",
    ("--status", "two\nlines"): "--status is one line",
    ("--status", "", "--until", "18:00"): "drops the status",
    ("--until", "18:00"): "--until says when a status ends: give it with --status",
    ("--who",): "--who belongs to --show",
    ("--show", "--remove"): "--show and --remove do not go together",
    ("--edit", "--status", "x"): "--edit and --status do not go together",
    ("--remove", "--plan", "x"): "--remove and --plan do not go together",
    ("--show", "--link", "me", "https://e/"): "--show and --link do not go together",
    ("--edit", "--no-links"): "--edit and --no-links do not go together",
    ("--link", "me", "https://e/", "--no-links"): "--link and --no-links do not go together",
    ("--link", "me"): "--link takes what the link is, and where it leads: --link REL HREF",
    ("--link", "me", "https://e/", "text/html", "x"): "--link takes what the link is, and where it",
    ("--link", "me", "javascript:alert(1)"): '--link "me": href begins with none of https:, http:,',
    ("--link", "Me", "https://e/"): '--link "Me": rel is no relation such as "me"',
    ("--link", f"me{ESCAPE}", "https://e/"): '--link "me^[]0;owned^G": rel is no relation',
    ("--link", "me", f"https://e/{ESCAPE}"): '--link "me": href has characters that a URI cannot',
    ("--link", "me", f"https://e/{'x' * 512}"): "href has more than 512 characters: shorten it",
    (
        *("--link", "http://openid.net/specs/connect/1.0/issuer", "https://e/"),
    ): "who vouches for accounts is the administrator's to say: links in [web]",
    ("--plans",): "unrecognized arguments: --plans",
    ("me",): "unrecognized arguments: me",
}


@pytest.mark.parametrize("arguments", BAD_CALLS)
def test_a_bad_call_sends_nothing(
    command: Command, keeper: FakeKeeper, arguments: tuple[str, ...]
) -> None:
    status, out, err = command(*arguments)
    assert (status, out, keeper.asked) == (64, "", [])
    assert BAD_CALLS[arguments] in err.splitlines()[-1]


# --- the editor ---


def editor(home: Path, script: str) -> str:
    """Return the command of an editor that does `script`, of sh, with the file as $1."""
    program = home / "an editor"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return f"'{program}' --wait"


def drafts(home: Path) -> list[Path]:
    """Return the files that edits have left."""
    return list(home.parent.glob("fingerd-sd-plan-*"))


def test_edits_what_is_stored_and_publishes_what_was_changed(
    command: Command, keeper: FakeKeeper, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper.person = {"login": "alice", "at": 0, "plan": "before\n"}
    monkeypatch.setenv("EDITOR", "false")  # $VISUAL comes first
    by_rename = 'cp "$2" "$2~"; echo after >>"$2~"; mv "$2~" "$2"'
    monkeypatch.setenv("VISUAL", editor(home, f'stat -c %a "$2" >{home}/mode; {by_rename}'))
    assert command("--edit") == (0, "Published: plan (2 lines).\n", "")
    assert keeper.asked[-1]["set"] == {"plan": "before\nafter\n"}
    assert (home / "mode").read_text() == "600\n"
    assert drafts(home) == []


def test_an_edit_that_changes_nothing_publishes_nothing(
    command: Command, keeper: FakeKeeper, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper.person = {"login": "alice", "at": 0, "plan": "before\r\n"}
    monkeypatch.setenv("EDITOR", "true")
    assert command("--edit") == (0, "Nothing was changed, and nothing is published.\n", "")
    assert [request["do"] for request in keeper.asked] == ["show"]
    assert drafts(home) == []


def test_a_plan_that_was_emptied_is_taken_back(
    command: Command, keeper: FakeKeeper, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper.person = {"login": "alice", "at": 0, "plan": "before\n"}
    monkeypatch.setenv("EDITOR", editor(home, 'echo >"$2"'))
    assert command("--edit") == (0, "No longer published: plan.\n", "")
    assert keeper.asked[-1] == {"do": "publish", "set": {}, "unset": ["plan"]}


@pytest.mark.parametrize("fault", ["refused", "gone", "editor"])
def test_what_was_written_is_kept_if_it_cannot_be_published(
    command: Command,
    keeper: FakeKeeper,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    ends = {"editor": "exit 3", "gone": f"rm {keeper.path}", "refused": "true"}[fault]
    monkeypatch.setenv("EDITOR", editor(home, f'echo a new plan >"$2"; {ends}'))
    say = keeper._say
    refusal = b'{"ok": false, "error": "too_large", "say": "too large: at most 10 octets"}\n'
    if fault == "refused":
        monkeypatch.setattr(
            keeper, "_say", lambda: say() if keeper.asked[-1]["do"] == "show" else refusal
        )
    status, out, err = command("--edit")
    (draft,) = drafts(home)
    assert draft.read_text() == "a new plan\n"
    assert stat.S_IMODE(draft.stat().st_mode) == 0o600
    assert (status, out) == (64 if fault == "editor" else 69, "")
    why = {"editor": "ended with 3", "gone": "not enabled", "refused": "at most 10 octets"}[fault]
    assert why in err
    assert err.endswith(f"; your text is kept in {draft}\n")
    assert err.count("\n") == 1


def test_says_which_editor_it_cannot_start(
    command: Command, keeper: FakeKeeper, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value, told in (
        ("/no/such/editor -w", "the editor /no/such/editor cannot be started"),
        ("'half", "$EDITOR cannot be understood"),
    ):
        monkeypatch.setenv("EDITOR", value)
        status, _, err = command("--edit")
        assert status == 64
        assert told in err
    monkeypatch.delenv("EDITOR")
    monkeypatch.setenv("PATH", "")
    assert "there is no editor: set $EDITOR" in command("--edit")[2]
    assert drafts(home) == []


# --- show, remove ---


def test_shows_the_entry_and_what_each_audience_gets_and_why_not_more(
    command: Command, keeper: FakeKeeper
) -> None:
    keeper.person = {
        "login": "alice",
        "at": time.time(),
        "plan": f"Curiouser\n{ESCAPE}",
        "status": f"on call{ESCAPE}",
        "until": time.time() - 5,
        "project": None,
    }
    hidden = {"plan": f"show of the audience{ESCAPE}"}
    keeper.seen = [
        {"audience": "office", "text": f"Plan:\r\n\r\nhere{ESCAPE}\r\n", "hidden": {}},
        {"audience": "world", "text": "Login: alice\r\n", "hidden": hidden},
        {"audience": "everyone", "text": "Login: alice\r\n", "hidden": hidden},
    ]
    status, out, err = command("--show")
    assert (status, err) == (0, "")
    shown = "^[]0;owned^G"
    first, second, *others = out.splitlines()
    assert first.startswith("What you have published, last ")
    assert second.startswith(f"    Status: on call{shown}, until ")
    assert second.endswith(", which is over")
    assert others == [
        "    Plan:",
        "    Curiouser",
        f"    {shown}",
        "",
        'The audience "office" gets:',
        "    Plan:",
        "",
        f"    here{shown}",
        "",
        'The audiences "world", "everyone" get:',
        "    Login: alice",
        f"  plan is hidden: show of the audience{shown}",
    ]
    assert keeper.asked == [{"do": "show", "who": False}]


@given(text=st.text(), until=st.none() | st.floats(0, 4e9))
def test_nothing_that_is_shown_can_harm_a_terminal(text: str, until: float | None) -> None:
    person = {"at": 0.0, "status": text, "until": until, "plan": text, "project": text, "key": text}
    view = {"audience": text, "text": text, "hidden": {text: text}}
    lines = [*telling.entry(person, 1e9), *telling.seen([view, view])]
    lines.append(telling.stored({"status": {"text": text, "until": until}}, (), 1e9))
    lines.append(telling.who({"times": text, "networks": text}))
    for line in lines:
        assert is_printable(line.replace("\t", "")), line


def test_shows_that_nothing_is_published(command: Command, keeper: FakeKeeper) -> None:
    assert command("--show") == (0, "You have published nothing.\n", "")


def test_tells_how_often_it_was_asked_for(command: Command, keeper: FakeKeeper) -> None:
    assert command("--show", "--who")[1].endswith(
        "\nHow often it was asked for is not counted on this machine.\n"
    )
    keeper.who = {"times": 12, "networks": 3}
    assert command("--show", "--who")[1].endswith(
        "\nAsked for in the last seven days: 12 times, from 3 networks.\n"
    )
    assert keeper.asked[-1] == {"do": "show", "who": True}


def test_takes_back_all(command: Command, keeper: FakeKeeper) -> None:
    keeper.person = {"login": "alice", "at": 0, "plan": "before"}
    assert command("--remove") == (0, "Removed: nothing of yours is published any more.\n", "")
    assert keeper.person is None


# --- JSON ---


def test_json_is_one_line_of_ascii_and_holds_the_response(
    command: Command, keeper: FakeKeeper, home: Path
) -> None:
    (home / ".plan").write_text(f"café {ESCAPE}")
    for options in ([], ["--show"], ["--status", "here"], ["--remove"]):
        status, out, err = command(*options, "--json")
        assert (status, err) == (0, "")
        assert out.isascii()
        assert out.rstrip("\n").isprintable()
        assert json.loads(out)["ok"] is True
    assert keeper.asked[0]["set"]["plan"] == f"café {ESCAPE}"


def test_json_has_a_word_for_what_went_wrong(command: Command, home: Path) -> None:
    for options, status, error in (
        ([], 64, "no_files"),
        (["--who"], 64, "usage"),
        (["--status", "x", "--until", "soon"], 64, "until"),
        (["--plan", str(home)], 64, "unreadable"),
        (["--remove"], 69, "not_reached"),
    ):
        told = command(*options, "--json")
        assert (told[0], told[2]) == (status, "")
        response = json.loads(told[1])
        assert (response["ok"], response["error"]) == (False, error)
        assert response["say"]


# --- links ---

ME = {"rel": "me", "href": "https://social.example/@alice"}
SELF = {
    "rel": "self",
    "href": "https://social.example/users/alice",
    "type": "application/activity+json",
}


def test_links_are_published_and_nothing_else_is_changed(
    command: Command, keeper: FakeKeeper
) -> None:
    two = [*("--link", *ME.values()), *("--link", *SELF.values())]
    assert command(*two) == (0, "Published: 2 links.\n", "")
    assert command("--status", "x", "--link", *ME.values())[1] == (
        'Published: status "x" without an end, 1 link.\n'
    )
    assert command("--no-links") == (0, "No longer published: links.\n", "")
    assert keeper.asked == [
        {"do": "publish", "set": {"links": [ME, SELF]}, "unset": []},
        {
            "do": "publish",
            "set": {"status": {"text": "x", "until": None}, "links": [ME]},
            "unset": [],
        },
        {"do": "publish", "set": {}, "unset": ["links"]},
    ]


def test_links_are_shown(command: Command, keeper: FakeKeeper) -> None:
    keeper.person = {"at": time.time(), "plan": "p", "links": [ME, SELF]}
    lines = command("--show")[1].splitlines()
    assert lines[-3:] == [
        "    Links, on the web:",
        "    me https://social.example/@alice",
        "    self https://social.example/users/alice (application/activity+json)",
    ]
    assert json.loads(command("--show", "--json")[1])["person"]["links"] == [ME, SELF]


@pytest.mark.parametrize("links", ["[]", None, 7, [7], [{"rel": "me", "href": "javascript:x"}]])
def test_links_that_no_keeper_of_this_version_tells_are_not_shown(
    command: Command, keeper: FakeKeeper, links: Any
) -> None:
    keeper.person = {"at": time.time(), "plan": "p", "links": links}
    status, out, _ = command("--show")
    assert (status, "Links" in out) == (0, False)


def test_files_and_a_mirror_leave_links_alone(
    command: Command, keeper: FakeKeeper, home: Path
) -> None:
    command("--link", *ME.values())
    (home / ".plan").write_text("Curiouser\n")
    assert command()[0] == 0
    (home / ".plan").unlink()
    said = command("--mirror")[1]
    assert said == "No longer published: project, plan, public key.\n"
    assert keeper.person is not None
    assert keeper.person["links"] == [ME]
    command("--no-links")
    assert command("--mirror")[1] == "Removed: none of the files is left.\n"


# --- the keeper ---


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ("not_allowed", 77), ("bad_request", 64), ("too_large", 69), ("too_many", 69),
        ("too_often", 69), ("full", 69), ("not_stored", 69), ("of another version", 69),
    ],
)  # fmt: skip
def test_a_refusal_is_one_harmless_line(
    command: Command, keeper: FakeKeeper, error: str, status: int
) -> None:
    refusal = {"ok": False, "error": error, "say": f"why\nand what to do{ESCAPE}"}
    keeper.answer = json.dumps(refusal).encode() + b"\n"
    assert command("--remove") == (
        status,
        "",
        "fingerd-sd publish: why and what to do^[]0;owned^G\n",
    )


def test_a_refusal_arrives_though_the_request_was_not_read(
    command: Command, keeper: FakeKeeper, tmp_path: Path
) -> None:
    keeper.deaf = True
    keeper.answer = b'{"ok": false, "error": "too_many", "say": "too many callers: try again"}\n'
    (tmp_path / "large").write_text("x" * 1_000_000)
    status, _, err = command("--plan", str(tmp_path / "large"))
    assert (status, err) == (69, "fingerd-sd publish: too many callers: try again\n")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"", "ended before it had answered; it may be stored or not"),
        (b'{"ok": true', "ended before it had answered"),
        (b"[]\n", "cannot be understood"),
        (b"{}\n", "cannot be understood"),
        (b"\xff\n", "cannot be understood"),
        (b'{"ok": false}\n', "cannot be understood"),
        (b'{"ok": true}\n', "cannot be understood"),
        (b'{"ok": true, "person": 5, "seen": {}}\n', "cannot be understood"),
    ],
)
def test_a_keeper_that_is_broken_is_not_taken_for_a_good_one(
    command: Command, keeper: FakeKeeper, answer: bytes, told: str
) -> None:
    keeper.answer = answer
    status, out, err = command("--show")
    assert (status, out) == (69, "")
    assert told in err
    assert err.count("\n") == 1


def test_says_what_the_administrator_has_to_do_where_publishing_is_not_enabled(
    command: Command, home: Path
) -> None:
    assert command("--remove") == (
        69,
        "",
        "fingerd-sd publish: publishing is not enabled on this machine; the administrator "
        "enables it by `systemctl enable --now finger-publish.socket`\n",
    )


def test_a_socket_that_nobody_listens_on_is_not_enabled(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "publish"))
    with pytest.raises(NotReached, match="not enabled"):
        exchange(str(tmp_path / "publish"), b"{}\n")


def test_a_keeper_that_hangs_is_left(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "publish"))
        listener.listen()
        with pytest.raises(NotReached, match=r"did not answer within 0\.05 s"):
            exchange(str(tmp_path / "publish"), b"{}\n", timeout=0.05)


def test_a_path_that_no_socket_can_have_is_not_reached() -> None:
    with pytest.raises(NotReached, match="cannot be reached"):
        exchange("/" + "x" * 200, b"{}\n")


def test_a_socket_that_is_not_for_everybody_is_not_allowed(
    command: Command, keeper: FakeKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket.socket, "connect", refused)
    status, _, err = command("--remove")
    assert (status, err) == (
        77,
        f"fingerd-sd publish: you may not use {keeper.path}: ask the administrator\n",
    )
