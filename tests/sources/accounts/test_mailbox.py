# SPDX-License-Identifier: MIT
"""The state of real mailboxes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fingerd_sd.protocol.entry import Mail, Person
from fingerd_sd.protocol.layout.long import long_form
from fingerd_sd.protocol.reply import encode
from fingerd_sd.sources.accounts.mailbox import mail_state
from fingerd_sd.sources.accounts.sessions.moment import moment

from ...helpers.records import NOW

pytestmark = pytest.mark.skipif(
    bool(os.statvfs("/tmp").f_flag & os.ST_NOATIME), reason="/tmp does not keep times of reading"
)


def write(path: Path, received: int, read: int, text: str = "From alice\n") -> None:
    path.write_text(text)
    os.utime(path, (read, received))


def test_mail_came_when_the_box_was_written_and_was_read_when_that_was(tmp_path: Path) -> None:
    write(tmp_path / "alice", NOW - 60, NOW)
    assert mail_state("alice", [tmp_path]) == (
        Mail(moment(NOW - 60), moment(NOW)),
        f"the times of {tmp_path}/alice",
    )


def test_no_box_and_an_empty_box_hold_no_mail(tmp_path: Path) -> None:
    write(tmp_path / "bob", NOW, NOW, "")
    assert mail_state("alice", [tmp_path])[0] == mail_state("bob", [tmp_path])[0] == Mail()


def test_a_machine_without_a_spool_does_not_know(tmp_path: Path) -> None:
    assert mail_state("alice", [tmp_path / "none"]) == (None, f"no {tmp_path}/none")


def test_the_second_spool_is_asked_where_there_is_no_first(tmp_path: Path) -> None:
    assert mail_state("alice", [tmp_path / "none", tmp_path])[0] == Mail()


@pytest.mark.parametrize("name", ["", ".", "..", "../passwd", "a/b", "/etc/passwd"])
def test_a_name_does_not_lead_out_of_the_spool(tmp_path: Path, name: str) -> None:
    assert mail_state(name, [tmp_path])[0] is None


def test_what_is_no_mailbox_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/etc/passwd")
    for name in ("folder", "fifo", "link", "nul\0", "x" * 300):
        assert mail_state(name, [tmp_path])[0] is None


def shown(mail: Mail | None, show: str = "mail") -> str:
    return encode(long_form([Person("alice", mail=mail)], [show], NOW)).decode()


def test_the_answer_tells_of_new_mail_of_old_mail_and_of_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = moment(1_790_000_000), moment(1_790_003_600)
    assert old is not None
    zone = old.tzname()
    hour, later = f"{old:%a %b %e %H:%M} 2026 ({zone})", f"{new:%a %b %e %H:%M} 2026 ({zone})"
    assert shown(Mail(old, new)) == f"Login: alice\r\nMail last read {later}\r\n"
    assert shown(Mail(new, old)) == (
        f"Login: alice\r\nNew mail received {later}\r\n     Unread since {hour}\r\n"
    )
    assert shown(Mail()) == "Login: alice\r\nNo mail.\r\n"
    assert shown(None) == "Login: alice\r\n"
    assert shown(Mail(), "plan") == "Login: alice\r\nNo Plan.\r\n"
