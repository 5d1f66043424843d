# SPDX-License-Identifier: MIT
"""What the world sees of one user: the answer that each audience gets, and what hides the rest.

It asks the same directory as finger.service, by the same configuration. But the keeper has no
homes: an atom that only a file has is not in these answers.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple, TypedDict

from fingerd_sd.directory.answer import of_user
from fingerd_sd.directory.lookup import Directory
from fingerd_sd.policy.audience import Audience
from fingerd_sd.protocol.entry import Person
from fingerd_sd.publishing.wire import ATOMS


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
    if not finding.entries:
        return View(
            audience=audience.name, text=text, hidden={"everything": "; ".join(finding.steps)}
        )
    hidden = {}
    for entry in finding.entries:
        for atom in ATOMS:
            has = isinstance(entry, Person) and getattr(entry, atom) is not None
            if has and atom not in audience.show:
                hidden[atom] = f'not in show of the audience "{audience.name}"'
    return View(audience=audience.name, text=text, hidden=hidden)
