# SPDX-License-Identifier: MIT
"""The list of plans: a row for each user who published one, under a line of titles.

Sans-I/O: the time comes in as an argument. It is in the style of the short form, since BSD's finger
has no such list.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from fingerd_sd.protocol.entry import Entry, Person
from fingerd_sd.protocol.layout.fields import day_and_hour, field
from fingerd_sd.protocol.layout.short import widths
from fingerd_sd.protocol.text import one_line

_SCREEN = 80  # columns
_TIME = 12  # columns of a day and an hour
_MIN_PLAN = 20  # columns of a plan, however wide the others are


def has_plan(entry: Entry) -> bool:
    """Whether there is a plan with a word in it."""
    return isinstance(entry, Person) and bool(_first_line(entry))


def plans_form(
    rows: Sequence[tuple[str, Entry]], times: Mapping[str, float], show: Collection[str], now: float
) -> str:
    """Return a line for each login in `rows`, at least one: when it published, and how its plan
    begins. `times`: by login, in seconds since the epoch, as `now` is. `show`: names out of
    entry.ATOMS.
    """
    people = [(field(login), login, entry) for login, entry in rows if isinstance(entry, Person)]
    logins = [shown for shown, _, _ in people]
    names = [field(entry.name) if "name" in show else "" for _, _, entry in people]
    width, name_width = widths(logins, names)

    def line(login: str, name: str, time: str, plan: str) -> str:
        row = f"{login:<{width}} "
        if "name" in show:
            row += f"{name[:name_width]:<{name_width}} "
        row += f" {time:<{_TIME}}  "
        if "plan" in show:
            row += one_line(plan, max(_MIN_PLAN, _SCREEN - len(row)))
        return row.rstrip()

    lines = [line("Login", "Name", "Published", "Plan")]
    for (shown, login, entry), name in zip(people, names, strict=True):
        at = datetime.fromtimestamp(times[login]).astimezone()
        lines.append(line(shown, name, day_and_hour(at, now), _first_line(entry)))
    return "\n".join(lines) + "\n"


def _first_line(person: Person) -> str:
    """Return the first line of the plan that has a word."""
    return (person.plan or "").lstrip().partition("\n")[0]
