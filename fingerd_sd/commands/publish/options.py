# SPDX-License-Identifier: MIT
"""The options of `fingerd-sd publish`: which go together, and what is published of each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

from fingerd_sd.commands.exits import EX_USAGE
from fingerd_sd.commands.publish import files
from fingerd_sd.protocol.entry import Link
from fingerd_sd.protocol.links import fault_of_user, told
from fingerd_sd.protocol.text import decode, one_line
from fingerd_sd.serving.publishing import client, when


class Wanted(NamedTuple):
    """What the command line says. `socket`: the keeper's; the others are as in --help."""

    socket: str = client.SOCKET
    plan: str | None = None
    status: str | None = None
    until: str | None = None
    link: Sequence[Sequence[str]] | None = None
    no_links: bool = False
    edit: bool = False
    mirror: bool = False
    show: bool = False
    who: bool = False
    remove: bool = False
    json: bool = False


class Failed(Exception):  # noqa: N818  # any end but the good one
    """The command ends with `status`; `error` is a word for programs, `say` a line for people."""

    def __init__(self, status: int, error: str, say: str) -> None:
        super().__init__(say)
        self.status = status
        self.error = error
        self.say = say


def fail(error: str, say: str) -> NoReturn:
    """Raise what the user can mend at the command line."""
    raise Failed(EX_USAGE, error, say)


def check(wanted: Wanted) -> None:
    """Raise Failed if the options do not go together."""
    alone = [name for name in ("edit", "mirror", "show", "remove") if getattr(wanted, name)]
    named = [name for name in ("plan", "status", "link") if getattr(wanted, name) is not None]
    named += ["no-links"] if wanted.no_links else []
    both = {"link", "no-links"} <= set(named)
    if len(alone) > 1 or (alone and named) or both:
        given = [*alone, *named]
        fail("usage", f"{' and '.join('--' + name for name in given)} do not go together")
    if wanted.until is not None and wanted.status is None:
        fail("usage", "--until says when a status ends: give it with --status")
    if wanted.who and not wanted.show:
        fail("usage", "--who belongs to --show")


def parts(wanted: Wanted, now: float) -> tuple[dict[str, Any], list[str]]:
    """Return what is to be stored, by part, and which parts are to be dropped. `now`: seconds since
    the epoch. Raises Failed.
    """
    sets: dict[str, Any] = {}
    unset: list[str] = []
    if wanted.plan is not None:
        try:
            sets["plan"] = files.of(wanted.plan)
        except files.Unreadable as error:
            fail("unreadable", str(error))
    if wanted.status is not None:
        _set_status(wanted, now, sets, unset)
    if wanted.link:
        sets["links"] = told(map(_link, wanted.link))
    if wanted.no_links:
        unset.append("links")
    return sets, unset


def _set_status(wanted: Wanted, now: float, sets: dict[str, Any], unset: list[str]) -> None:
    # As octets first: the terminal may not be UTF-8, and then Python has made surrogates of them.
    text = decode(os.fsencode(wanted.status or "")).strip()
    if "\n" in text or "\r" in text:
        fail("usage", "--status is one line; more of it belongs into the plan")
    if not text:
        if wanted.until is not None:
            fail("usage", '--status "" drops the status: --until does not go with it')
        unset.append("status")
        return
    until = None
    if wanted.until is not None:
        try:
            until = when.parse(wanted.until, now)
        except when.WhenError as error:
            fail("until", f'--until "{wanted.until}" {error}')
    sets["status"] = {"text": text, "until": until}


def _link(words: Sequence[str]) -> Link:
    """Return the link that the words behind one --link are. Raises Failed."""
    if not 2 <= len(words) <= 3:
        fail("usage", "--link takes what the link is, and where it leads: --link REL HREF")
    link = Link(*words)
    if why := fault_of_user(link):
        fail("link", f'--link "{one_line(link.rel, 40)}": {why}')
    return link
