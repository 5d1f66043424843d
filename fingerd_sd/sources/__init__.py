# SPDX-License-Identifier: MIT
"""The types of source, by name: the built-in ones, and those that other packages register.

A third party registers one in the entry-point group `fingerd_sd.sources`: the entry's name is the
`type` in `[[source]]`, and its object is a `Factory`. See "A source of your own" in
ARCHITECTURE.md.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias, cast

from fingerd_sd.config.table import Table
from fingerd_sd.directory.source import Source

# Reads its options from the table through the getters, reports mistakes to it, and returns a source
# with the given name. It starts nothing and keeps nothing open, since `check` calls it too.
Factory: TypeAlias = Callable[[Table, str], Source]

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

GROUP = "fingerd_sd.sources"
BUILT_IN = {
    "static": "fingerd_sd.sources.static.source:read",
    "accounts": "fingerd_sd.sources.accounts.source:read",
    "published": "fingerd_sd.sources.published.source:read",
    "command": "fingerd_sd.sources.command.source:read",
    "unit": "fingerd_sd.sources.unit.source:read",
    "web": "fingerd_sd.sources.web.source:read",
}


def factory(kind: str) -> Factory | None:
    """Return the factory for sources of type `kind`, or None if there is none.

    Raises whatever the import of a third party's module raises.
    """
    if kind in BUILT_IN:
        module, _, name = BUILT_IN[kind].partition(":")
        # Not by importlib, which takes as long to import as several answers.
        return cast(Factory, getattr(__import__(module, fromlist=[name]), name))
    for entry in _registered(kind):
        return cast(Factory, entry.load())
    return None


def known() -> list[str]:
    """Return the names of all types that can be used here."""
    return sorted({*BUILT_IN, *(entry.name for entry in _registered())})


def find_packages() -> None:
    """Let Python find the packages of this machine. The command starts without `site` (python3 -S),
    which looks for them, since the first client need not wait for that.
    """
    if sys.flags.no_site:
        import site

        site.main()


def _registered(kind: str | None = None) -> EntryPoints:
    find_packages()
    # importlib.metadata takes 30 ms to import: only for a type that is not built in.
    from importlib.metadata import entry_points

    return entry_points(group=GROUP) if kind is None else entry_points(group=GROUP, name=kind)
