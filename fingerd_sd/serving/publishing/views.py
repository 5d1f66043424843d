# SPDX-License-Identifier: MIT
"""What the world sees of one user: the answer that each audience gets, and what hides the rest.

It asks the same directory as finger.service, by the same configuration. But the keeper has no
homes: an atom that only a file has is not in these answers, and that is told.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple, TypedDict

from fingerd_sd.directory.answer import of_user
from fingerd_sd.directory.lookup import Directory
from fingerd_sd.directory.source import Consented
from fingerd_sd.policy.audience import Audience
from fingerd_sd.protocol.entry import Person
from fingerd_sd.serving.publishing.wire import ATOMS, TEXTS

_NO_HOMES = "a file that finger may read is shown all the same, which is not known here"


class Seen(NamedTuple):
    """By what is answered: all audiences, the implied one too, and the directory."""

    audiences: Sequence[Audience]
    directory: Directory


class View(TypedDict):
    """What one audience sees. `hidden`: why not, by atom, or "everything"."""

    audience: str
    text: str
    hidden: dict[str, str]


async def views(seen: Seen, login: str) -> list[View]:
    """Return what each audience gets for `login`."""
    return [await _view(seen.directory, audience, login) for audience in seen.audiences]


async def _view(directory: Directory, audience: Audience, login: str) -> View:
    finding = await directory.find(login, audience.name)
    answer = of_user(finding, audience, time.time())
    text = answer.octets.decode("utf-8").replace("\r\n", "\n")
    homes = any(
        isinstance(source, Consented) and (not audiences or audience.name in audiences)
        for source, audiences in directory.sources
    )
    hidden = {}
    if not finding.entries:
        why = (*finding.steps, *([_NO_HOMES] if homes else ()))
        hidden["everything"] = "; ".join(why)
    for entry in finding.entries:
        for atom in ATOMS if isinstance(entry, Person) else ():
            is_there = getattr(entry, atom) is not None
            if is_there and atom not in audience.show:
                hidden[atom] = f'not in show of the audience "{audience.name}"'
            elif homes and not is_there and atom in audience.show and atom in TEXTS:
                hidden[atom] = f"not published; {_NO_HOMES}"
    return View(audience=audience.name, text=text, hidden=hidden)
