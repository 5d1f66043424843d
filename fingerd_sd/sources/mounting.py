# SPDX-License-Identifier: MIT
"""`[[source]]`: the sources that a configuration names, each with the audiences that may ask it."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Sequence

from fingerd_sd.config.mistakes import File, Mistake, nearest
from fingerd_sd.config.table import Layer, Table
from fingerd_sd.directory.source import Mounted, Source
from fingerd_sd.sources import factory, known

PUBLISH = "/run/fingerd-sd/publish"  # the socket to publish at, where that is enabled


def read_sources(tables: Sequence[Table], audiences: Collection[str]) -> tuple[Mounted, ...]:
    """Return the sources of all `[[source]]` tables, in order; mistakes go to the tables.
    `audiences`: the names of all audiences.
    """
    mounted: list[Mounted] = []
    counts: dict[str, int] = {}
    for table in tables:
        kind = table.text("type", "")
        counts[kind] = counts.get(kind, 0) + 1
        name = kind if counts[kind] == 1 else f"{kind}-{counts[kind]}"
        only_for = table.strings("audiences", ())
        for audience in only_for:
            if audience not in audiences:
                table.wrong(
                    "audiences", f'no audience "{audience}"; {nearest(audience, audiences)}'
                )
        source = _read_source(table, kind, name)
        if source is not None:
            mounted.append(Mounted(source, frozenset(only_for)))
    return tuple(mounted)


def _read_source(table: Table, kind: str, name: str) -> Source | None:
    if not kind:
        if table.value("type") in (None, ""):
            table.wrong("type", f"is missing; known are: {', '.join(known())}")
        return None
    try:
        make = factory(kind)
        if make is not None:
            return make(table, name)
    except Exception as error:  # a third party's package: whatever it raises, the file names it
        table.wrong(
            "type", f'the package that provides "{kind}" fails: {error!r}; mend or remove it'
        )
        return None
    table.wrong("type", f'unknown type "{kind}"; {nearest(kind, known())}')
    return None


def default_sources(file: File, mistakes: list[Mistake], shared: bool) -> tuple[Mounted, ...]:
    """Return the sources of a configuration that names none: this machine's accounts, and before
    them the users who have published, if a user of this machine can, or if the directory is
    `shared` with hosts whose users can.
    """
    kinds = ("published", "accounts") if shared or _is_socket(PUBLISH) else ("accounts",)
    tables = [
        Table([Layer(file, {"type": kind})], f"source[{number}]", mistakes)
        for number, kind in enumerate(kinds, 1)
    ]
    return read_sources(tables, ())


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False
