# SPDX-License-Identifier: MIT
"""What `publish` says to a person: what was stored, what the world sees, and why not more.

All of it came over a socket or out of files, and goes to a terminal: each text is made printable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fingerd_sd.protocol.text import one_line, printable
from fingerd_sd.serving.publishing.when import words

TITLES = {
    "status": "status",
    "project": "project",
    "plan": "plan",
    "key": "public key",
    "links": "links",
}
_INDENT = "    "


def stored(sets: Mapping[str, Any], unset: Sequence[str], now: float) -> str:
    """Return the line about a publish that was stored: what is new, and what is gone."""
    parts = []
    for atom, title in TITLES.items():
        if atom == "status" and atom in sets:
            status = sets[atom]
            parts.append(f'{title} "{_one(status["text"])}" {_until(status["until"], now)}')
        elif atom == "links" and atom in sets:
            links = sets[atom]
            parts.append(f"{len(links)} link{'' if len(links) == 1 else 's'}")
        elif atom in sets:
            parts.append(f"{title} ({_size(sets[atom])})")
    gone = [title for atom, title in TITLES.items() if atom in unset]
    lines = [f"Published: {', '.join(parts)}."] if parts else []
    if gone:
        lines.append(f"{'Not' if parts else 'No longer'} published: {', '.join(gone)}.")
    return " ".join(lines)


def entry(person: Mapping[str, Any] | None, now: float) -> Iterator[str]:
    """Yield the lines that show the stored entry."""
    if person is None:
        yield "You have published nothing."
        return
    yield f"What you have published, last {_at(person['at'], now)}:"
    if person.get("status") is not None:
        until = person.get("until")
        over = ", which is over" if until is not None and until <= now else ""
        yield f"{_INDENT}Status: {_one(person['status'])}, {_until(until, now)}{over}"
    for atom in ("project", "plan", "key"):
        if person.get(atom) is not None:
            yield f"{_INDENT}{TITLES[atom].capitalize()}:"
            yield from _indented(person[atom])
    if person.get("links"):
        yield f"{_INDENT}Links, on the web:"
        yield from _indented("\n".join(map(_link, person["links"])))


def seen(views: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines that show what each audience gets, those that get the same together."""
    same: list[tuple[Mapping[str, Any], list[str]]] = []
    for view in views:
        for first, names in same:
            if (first["text"], first["hidden"]) == (view["text"], view["hidden"]):
                names.append(str(view["audience"]))
                break
        else:
            same.append((view, [str(view["audience"])]))
    for view, names in same:
        told = ", ".join(f'"{_one(name)}"' for name in names)
        yield ""
        yield f"The audiences {told} get:" if len(names) > 1 else f"The audience {told} gets:"
        yield from _indented(view["text"])
        for atom, why in view["hidden"].items():
            yield f"  {_one(TITLES.get(atom, atom))} is hidden: {_one(why)}"


def who(asked: Mapping[str, Any] | None) -> str:
    """Return the line on how often the entry was asked for lately; None: nobody counts."""
    if asked is None:
        return "How often it was asked for is not counted on this machine."
    times, networks = _one(asked.get("times")), _one(asked.get("networks"))
    return f"Asked for in the last seven days: {times} times, from {networks} networks."


def _indented(text: str) -> Iterator[str]:
    for line in printable(text).rstrip("\n").split("\n"):
        yield f"{_INDENT}{line}".rstrip()


def _link(link: Mapping[str, Any]) -> str:
    kind = f" ({_one(link['type'])})" if link.get("type") else ""
    return f"{_one(link['rel'])} {_one(link['href'])}{kind}"


def _one(text: Any) -> str:
    return one_line(str(text), 1000)


def _at(moment: float, now: float) -> str:
    return words(moment - moment % 60, now)  # to the minute


def _until(moment: float | None, now: float) -> str:
    return "without an end" if moment is None else f"until {words(moment, now)}"


def _size(text: str) -> str:
    lines = len(text.rstrip("\n").split("\n")) if text.strip() else 0
    return "empty" if not lines else f"{lines} line{'' if lines == 1 else 's'}"
