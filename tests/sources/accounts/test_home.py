# SPDX-License-Identifier: MIT
"""Files that a user controls: real ones, and whatever a user may put in their place."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from fingerd_sd.protocol.text import CUT_MARK
from fingerd_sd.sources.accounts.home import MAX_USER_FILE, Hidden, Home, UserFile

from ...helpers import needs
from ...helpers.ordinary import NOBODY, as_ordinary_user, reachable_folder

T = TypeVar("T")

SECRET = "somebody else's secret"
PATIENCE = 20  # seconds until a call that hangs fails a test


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home" / "alice"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def public() -> Iterator[Path]:
    """A home that an ordinary user who does not own it can reach."""
    with reachable_folder() as folder:
        yield folder


def read(home: Path, name: str = ".plan", uid: int | None = None) -> UserFile | None:
    with Home(str(home), os.geteuid() if uid is None else uid) as opened:
        return opened.read(name)


def text(home: Path, name: str = ".plan") -> str:
    file = read(home, name)
    assert file is not None
    return file.text


def within_patience(call: Callable[[], T]) -> T:
    """Return what `call` returns; fail where it hangs, as on a FIFO that nobody writes to."""
    results: list[T | BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert results, "it hangs"
    [result] = results
    if isinstance(result, BaseException):
        raise result
    return result


def hidden(home: Path, name: str = ".plan", uid: int | None = None) -> str:
    """Return why `name` is not shown."""
    with pytest.raises(Hidden) as raised:
        within_patience(lambda: read(home, name, uid))
    return str(raised.value)


# --- what is shown ---


def test_a_regular_file_of_the_user_is_read(home: Path) -> None:
    (home / ".plan").write_text("Working.\n")
    assert read(home) == UserFile("Working.\n", f"{home}/.plan")


def test_a_file_that_is_not_there_is_none(home: Path) -> None:
    assert read(home) is None


def test_an_empty_file_is_an_empty_text(home: Path) -> None:
    (home / ".plan").touch()
    assert text(home) == ""


@pytest.mark.parametrize(
    ("octets", "shown"),
    [
        ("zażółć 日本語\n".encode(), "zażółć 日本語\n"),
        (b"caf\xe9\n", "café\n"),
        (b"\xff\xfe\x00", "ÿþ\x00"),
        (b"\xef\xbb\xbfplan", "plan"),
    ],
)
def test_octets_that_are_not_utf_8_are_repaired(home: Path, octets: bytes, shown: str) -> None:
    (home / ".plan").write_bytes(octets)
    assert text(home) == shown


def test_a_home_may_be_reached_by_a_link(home: Path, tmp_path: Path) -> None:
    (home / ".plan").write_text("Working.\n")
    (tmp_path / "link").symlink_to(home)
    assert text(tmp_path / "link") == "Working.\n"


@pytest.mark.parametrize("target", ["notes/plan", "./notes/../notes/plan"])
def test_a_link_within_the_home_is_followed(home: Path, target: str) -> None:
    (home / "notes").mkdir()
    (home / "notes" / "plan").write_text("Working.\n")
    (home / ".plan").symlink_to(target)
    assert text(home) == "Working.\n"


def test_an_absolute_link_into_the_home_is_followed(home: Path) -> None:
    (home / "plan").write_text("Working.\n")
    (home / ".plan").symlink_to(home / "plan")
    assert text(home) == "Working.\n"


# --- bounds ---


@pytest.mark.parametrize("size", [MAX_USER_FILE + 1, 1 << 20])
def test_a_large_file_is_cut_with_a_mark(home: Path, size: int) -> None:
    (home / ".plan").write_bytes(b"p" * size)
    assert text(home) == "p" * MAX_USER_FILE + f"\n{CUT_MARK}\n"


def test_a_file_of_the_full_size_is_not_cut(home: Path) -> None:
    (home / ".plan").write_bytes(b"p" * MAX_USER_FILE)
    assert text(home) == "p" * MAX_USER_FILE


@pytest.mark.parametrize("character", ["ł", "語", "\N{GRINNING FACE}"])
@pytest.mark.parametrize("offset", range(4))
def test_a_cut_splits_no_character(home: Path, character: str, offset: int) -> None:
    content = "p" * offset + character * (MAX_USER_FILE // len(character.encode()) + 9)
    (home / ".plan").write_bytes(content.encode())
    shown = text(home).removesuffix(f"\n{CUT_MARK}\n")
    assert content.startswith(shown)
    assert 0 <= MAX_USER_FILE - len(shown.encode()) < len(character.encode())


def test_a_file_full_of_holes_is_cut(home: Path) -> None:
    with (home / ".plan").open("wb") as stream:
        stream.truncate(1 << 40)
    assert len(text(home)) < MAX_USER_FILE + 100


# --- what a user may put in its place ---


def test_a_fifo_is_not_waited_for(home: Path) -> None:
    os.mkfifo(home / ".plan")
    assert "not a regular file" in hidden(home)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/tty", "/dev/random"])
def test_a_link_to_a_device_is_not_followed(home: Path, device: str) -> None:
    (home / ".plan").symlink_to(device)
    assert ".plan" in hidden(home)


def test_a_device_in_the_home_is_not_opened(home: Path) -> None:
    zero = os.stat("/dev/zero").st_rdev
    try:
        os.mknod(home / ".plan", stat.S_IFCHR | 0o666, zero)
    except PermissionError:  # an ordinary user, or root in a box: a FIFO is as good
        os.mkfifo(home / ".plan")
    assert "not a regular file" in hidden(home)


def test_a_folder_is_not_read(home: Path) -> None:
    (home / ".plan").mkdir()
    assert "not a regular file" in hidden(home)


def test_a_link_to_a_folder_is_not_read(home: Path) -> None:
    (home / "notes").mkdir()
    (home / ".plan").symlink_to("notes")
    assert "not a regular file" in hidden(home)


def test_a_socket_is_not_connected_to(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)  # socket addresses are short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(".plan")
        listener.listen()
        assert "not a regular file" in hidden(home)


@pytest.mark.parametrize("how", ["absolute", "relative", "through a folder"])
def test_a_link_out_of_the_home_is_not_followed(home: Path, tmp_path: Path, how: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text(SECRET)
    if how == "through a folder":
        (home / "notes").symlink_to(outside)
        (home / ".plan").symlink_to("notes/secret")
    else:
        target = "../../outside/secret" if how == "relative" else outside / "secret"
        (home / ".plan").symlink_to(target)
    assert "leads out of the home" in hidden(home)


def test_a_home_that_only_begins_alike_is_outside(home: Path) -> None:
    other = home.with_name("alice2")
    other.mkdir()
    (other / "secret").write_text(SECRET)
    (home / ".plan").symlink_to("../alice2/secret")
    assert "leads out of the home" in hidden(home)


def test_a_link_to_the_password_file_is_not_followed(home: Path) -> None:
    (home / ".plan").symlink_to("/etc/passwd")
    assert "leads out of the home" in hidden(home)


def test_a_file_of_somebody_else_is_not_shown(home: Path) -> None:
    """A hard link to another's file, or one that another put there."""
    (home / ".plan").write_text(SECRET)
    assert "not owned by the user" in hidden(home, uid=os.geteuid() + 1)


def test_a_file_that_was_given_away_is_not_shown(home: Path) -> None:
    needs.right(needs.giving_away)
    (home / ".plan").write_text(SECRET)
    os.chown(home / ".plan", NOBODY, NOBODY)
    assert "not owned by the user" in hidden(home)


def test_a_link_to_anothers_file_within_the_home_is_not_followed(home: Path) -> None:
    needs.right(needs.giving_away)
    (home / "theirs").write_text(SECRET)
    os.chown(home / "theirs", NOBODY, NOBODY)
    (home / ".plan").symlink_to("theirs")
    assert "not owned by the user" in hidden(home)


def test_a_dangling_link_is_as_no_file(home: Path) -> None:
    (home / ".plan").symlink_to("nowhere")
    assert read(home) is None


@pytest.mark.parametrize("loop", [".plan", ".project"])
def test_links_that_lead_in_circles_are_not_followed(home: Path, loop: str) -> None:
    (home / ".plan").symlink_to(loop)
    (home / ".project").symlink_to(".plan")
    assert ".plan" in hidden(home)


def test_an_unreadable_file_is_not_shown(public: Path) -> None:
    (public / ".plan").write_text(SECRET)
    (public / ".plan").chmod(0)
    uid = os.geteuid()

    def call() -> str:
        try:
            return str(read(public, uid=uid))
        except Hidden as reason:
            return str(reason)

    assert as_ordinary_user(call) == f"{public}/.plan: Permission denied"


def test_a_readable_file_of_another_is_shown_to_an_ordinary_service(public: Path) -> None:
    (public / ".plan").write_text("Working.\n")
    (public / ".plan").chmod(0o644)
    public.chmod(0o711)
    uid = os.geteuid()
    assert as_ordinary_user(lambda: read(public, uid=uid)) == UserFile(
        "Working.\n", f"{public}/.plan"
    )


# --- swaps ---


def test_a_file_that_is_swapped_between_check_and_use_does_not_leak(
    home: Path, tmp_path: Path
) -> None:
    """A user swaps the file for a link to a secret, and for a FIFO, as fast as can be."""
    (tmp_path / "secret").write_text(SECRET)
    swaps = 900
    makers: tuple[Callable[[Path], object], ...] = (
        lambda path: path.write_text("Working.\n"),
        lambda path: path.symlink_to(tmp_path / "secret"),
        os.mkfifo,
    )
    done = threading.Event()

    def swap() -> None:
        try:
            for number in range(swaps):
                new = home / "new"
                makers[number % len(makers)](new)
                new.rename(home / ".plan")
        finally:
            done.set()

    def look() -> set[str | None]:
        seen: set[str | None] = set()
        while not done.is_set():
            try:
                file = read(home)
                seen.add(file.text if file else None)
            except Hidden as reason:
                seen.add(str(reason).partition(": ")[2])
        return seen

    swapper = threading.Thread(target=swap, daemon=True)
    swapper.start()
    seen = within_patience(look)
    swapper.join(PATIENCE)
    assert seen <= {None, "Working.\n", "", "leads out of the home", "not a regular file"}
    assert SECRET not in seen


def test_a_file_that_is_swapped_after_the_check_is_the_one_that_was_checked(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The swap comes at the worst moment each time: after the check, before the reading."""
    (tmp_path / "secret").write_text(SECRET)
    (home / ".plan").write_text("Working.\n")
    check = Home._check

    def check_then_swap(self: Home, *checked: Any) -> int:
        size = check(self, *checked)
        (home / ".plan").unlink()
        (home / ".plan").symlink_to(tmp_path / "secret")
        return size

    monkeypatch.setattr(Home, "_check", check_then_swap)
    assert text(home) == "Working.\n"


@pytest.mark.parametrize("told", [0, 3, 9, 100])
def test_a_file_whose_size_changes_is_read_to_its_end(
    home: Path, monkeypatch: pytest.MonkeyPatch, told: int
) -> None:
    (home / ".plan").write_text("Working.\n")
    check = Home._check

    def check_before(self: Home, *checked: Any) -> int:
        check(self, *checked)
        return told

    monkeypatch.setattr(Home, "_check", check_before)
    assert text(home) == "Working.\n"


# --- homes ---


def test_a_home_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Home(str(tmp_path / "nobody"), os.geteuid())


@pytest.mark.parametrize("path", ["", "/dev/null", "/etc/passwd"])
def test_a_home_that_is_no_folder_cannot_be_opened(path: str) -> None:
    with pytest.raises(OSError, match="director"):
        Home(path, os.geteuid())


@pytest.mark.parametrize("mode", [0o000, 0o600, 0o666])
def test_a_home_that_may_not_be_searched_is_not_taken_for_an_empty_one(
    public: Path, mode: int
) -> None:
    home = public / "home"
    home.mkdir()
    (home / ".nofinger").touch()
    home.chmod(mode)

    def call() -> str:
        try:
            opened = Home(str(home), 0)
        except PermissionError:
            return "denied"
        with opened:
            return "opened"

    assert as_ordinary_user(call) == "denied"


def test_a_home_has_what_is_there_whatever_it_is(home: Path) -> None:
    (home / ".nofinger").symlink_to("nowhere")
    (home / "folder").mkdir()
    os.mkfifo(home / "fifo")
    with Home(str(home), os.geteuid()) as opened:
        assert [opened.has(name) for name in (".nofinger", "folder", "fifo", ".plan")] == [
            True,
            True,
            True,
            False,
        ]


def test_a_home_that_is_removed_meanwhile_has_nothing(home: Path) -> None:
    with Home(str(home), os.geteuid()) as opened:
        home.rmdir()
        assert opened.read(".plan") is None
        assert not opened.has(".nofinger")


def test_no_descriptor_is_left_open(home: Path) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    (home / ".plan").write_text("Working.\n")
    os.mkfifo(home / ".project")
    before = descriptors()
    for _ in range(10):
        text(home)
        with pytest.raises(Hidden):
            read(home, ".project")
        with pytest.raises(FileNotFoundError):
            Home(str(home / "nowhere"), 0)
    assert descriptors() == before
