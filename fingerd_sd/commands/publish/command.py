# SPDX-License-Identifier: MIT
"""`fingerd-sd publish`: send what a user wants others to know, show it, or take it back.

Whatever goes wrong is said in one line, and the stored entry then stays as it was.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from fingerd_sd.commands.exits import EX_NOPERM, EX_OK, EX_UNAVAILABLE, EX_USAGE
from fingerd_sd.commands.publish import files, options, telling
from fingerd_sd.commands.publish.options import Failed, Wanted, fail
from fingerd_sd.protocol.links import published, told
from fingerd_sd.protocol.text import one_line
from fingerd_sd.serving.publishing import client, wire

_STATUS = {wire.NOT_ALLOWED: EX_NOPERM, wire.BAD_REQUEST: EX_USAGE}  # by error; else EX_UNAVAILABLE


def publish(wanted: Wanted) -> int:
    """Do what is wanted, say what was done, and return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not what a test puts there
            stream.reconfigure(errors="replace")  # a terminal that has no UTF-8
    try:
        response, lines = _do(wanted)
    except Failed as failed:
        if wanted.json:
            _print_json({"ok": False, "error": failed.error, "say": failed.say})
        else:
            print(f"fingerd-sd publish: {one_line(failed.say, 1000)}", file=sys.stderr)
        return failed.status
    if wanted.json:
        _print_json(response)
    else:
        for line in lines:
            print(line)
    return EX_OK


def _do(wanted: Wanted) -> tuple[Mapping[str, Any], list[str]]:
    """Return the keeper's response, and the lines for a person. Raises Failed."""
    options.check(wanted)
    now = time.time()
    if wanted.show:
        response = _ask(wanted, {"do": "show", "who": wanted.who})
        lines = [*telling.entry(response["person"], now), *telling.seen(response["seen"])]
        if wanted.who:
            lines += ["", telling.who(response.get("who"))]
        return response, lines
    if wanted.remove:
        return _remove(wanted, "Removed: nothing of yours is published any more.")
    if wanted.edit:
        return _edit(wanted, now)
    if wanted.mirror:
        return _mirror(wanted, now)
    sets, unset = options.parts(wanted, now)
    if sets or unset:
        return _publish(wanted, sets, unset, now)
    found = _home()
    if not found.texts:
        looked = ", ".join(map(str, found.looked))
        fail(
            "no_files", f"there is nothing to publish, and nothing is changed: looked for {looked}"
        )
    return _publish(wanted, found.texts, found.missing, now)


def _publish(
    wanted: Wanted, sets: Mapping[str, Any], unset: Sequence[str], now: float
) -> tuple[Mapping[str, Any], list[str]]:
    response = _ask(wanted, {"do": "publish", "set": dict(sets), "unset": list(unset)})
    if response["person"] is None:
        return response, ["Nothing of yours is published any more."]
    return response, [telling.stored(sets, unset, now)]


def _remove(wanted: Wanted, said: str) -> tuple[Mapping[str, Any], list[str]]:
    return _ask(wanted, {"do": "remove"}), [said]


def _edit(wanted: Wanted, now: float) -> tuple[Mapping[str, Any], list[str]]:
    from fingerd_sd.commands.publish import editing  # it imports what no other option needs

    response = _ask(wanted, {"do": "show"})
    before = (response["person"] or {}).get("plan") or ""
    draft = None
    try:
        draft = editing.Draft(before)
        after = draft.edit()
        if after == before:
            draft.drop()
            return response, ["Nothing was changed, and nothing is published."]
        if after.strip():
            done = _publish(wanted, {"plan": after}, (), now)
        else:
            done = _publish(wanted, {}, ("plan",), now)
    except editing.NotEdited as error:
        kept = draft.kept() if draft else ""
        fail("not_edited", "; ".join(filter(None, (str(error), kept))))
    except Failed as failed:
        kept = draft.kept() if draft else ""
        raise Failed(
            failed.status, failed.error, "; ".join(filter(None, (failed.say, kept)))
        ) from None
    draft.drop()
    return done


def _mirror(wanted: Wanted, now: float) -> tuple[Mapping[str, Any], list[str]]:
    """Have the stored entry follow the files, for the user unit: where none is left, the user has
    taken back what they said. A status and links stay; without either the entry is removed.
    """
    found = _home()
    response = _ask(wanted, {"do": "show"})
    person = response["person"] or {}
    status, until = person.get("status"), person.get("until")
    over = status is None or (until is not None and until <= now)
    if person and not found.texts and not person["links"] and over:
        return _remove(wanted, "Removed: none of the files is left.")
    if all(person.get(atom) == found.texts.get(atom) for atom in files.FILES):
        return response, ["Nothing is new, and nothing is published."]  # a login, or a chmod
    return _publish(wanted, found.texts, found.missing, now)


def _home() -> files.Found:
    try:
        return files.in_home()
    except files.Unreadable as error:
        fail("unreadable", str(error))


def _ask(wanted: Wanted, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the keeper's response to `request` if it says that all is well. Raises Failed."""
    line = json.dumps(request).encode("ascii") + b"\n"
    try:
        response = json.loads(client.exchange(wanted.socket, line))
        if response["ok"]:
            return _whole(response)
        raise Failed(
            _STATUS.get(response["error"], EX_UNAVAILABLE), response["error"], response["say"]
        )
    except client.NotReached as error:
        status = EX_NOPERM if error.refused else EX_UNAVAILABLE
        raise Failed(status, "not_reached", str(error)) from None
    except (ValueError, KeyError, TypeError):
        raise Failed(
            EX_UNAVAILABLE, "not_reached", "the keeper's answer cannot be understood: is it older?"
        ) from None


def _whole(response: dict[str, Any]) -> Mapping[str, Any]:
    """Return a response that has all that is read of it. Raises KeyError and TypeError."""
    person = response["person"]
    if person is not None:
        if not isinstance(person["at"], int | float):
            raise TypeError
        person["links"] = told(published(person.get("links")))  # an older keeper has text there
    for view in response.setdefault("seen", []):
        if not (isinstance(view["text"], str) and isinstance(view["hidden"], dict)):
            raise TypeError
    return response


def _print_json(told: Mapping[str, Any]) -> None:
    """Print one line that is ASCII: no terminal can be harmed by it."""
    print(json.dumps(told, sort_keys=True))
