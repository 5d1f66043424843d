# SPDX-License-Identifier: MIT
"""`fingerd-sd check`: read the configuration, and name every mistake in it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from fingerd_sd.commands.building import loaded
from fingerd_sd.commands.exits import EX_CONFIG, EX_OK, EX_UNAVAILABLE
from fingerd_sd.commands.inspecting.sandbox import (
    UNIT,
    WEB,
    WEB_SOCKET,
    effective_unit,
    is_enabled,
    missing,
)
from fingerd_sd.commands.settings import Settings
from fingerd_sd.directory.source import Immediate, Needs


def check(config: Path | None) -> int:
    """Read the configuration and name every mistake on standard error, and what is unwise. It is
    EX_UNAVAILABLE if only the store cannot be asked now.
    """
    configuration = loaded(config)
    if configuration is None:
        return EX_CONFIG
    for warning in configuration.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for lack in _sandbox(configuration):
        print(f"warning: {lack}", file=sys.stderr)
    down = _store(configuration)
    for note in _claims(configuration):
        print(f"note: {note}", file=sys.stderr)
    names = ", ".join(mounted.source.name for mounted in configuration.sources)
    files = ", ".join(map(str, configuration.files)) or "no configuration, so the defaults"
    print(f"{files}: in order; sources: {names or 'none'}")
    return EX_UNAVAILABLE if down else EX_OK


def _store(loaded: Settings) -> bool:
    """Print what is wrong with the store that hosts share; return whether it cannot be asked."""
    if loaded.store is None:
        return False
    from fingerd_sd.commands.inspecting.store import lacking, seen

    for lack in lacking(loaded.store):
        print(f"warning: {lack}", file=sys.stderr)
    unfit, down = seen(loaded.store)
    for line in unfit:
        print(f"warning: {line}", file=sys.stderr)
    for line in down:
        print(line, file=sys.stderr)
    return bool(down)


def _sandbox(loaded: Settings) -> Iterator[str]:
    """Yield what the units on this machine lack for this configuration, if systemd can say."""
    sources = (mounted.source for mounted in loaded.sources)
    needs = [(source.name, getattr(source, "needs", Needs())) for source in sources]
    of_finger = list(needs)
    if any(audience.forward for audience in loaded.audiences):
        of_finger.append(("forward = true", Needs(network=True)))
    for unit, of_unit in ((UNIT, of_finger), (WEB, needs)):
        if any(need != Needs() for _, need in of_unit) and (unit == UNIT or is_enabled(WEB_SOCKET)):
            yield from missing(of_unit, effective_unit(unit) or {}, unit)


def _claims(loaded: Settings) -> Iterator[str]:
    """Yield a line for each source of another package that says it answers at once: where that is
    not so, everybody waits.
    """
    for source, _ in loaded.sources:
        module = type(source).__module__
        if isinstance(source, Immediate) and not module.startswith("fingerd_sd."):
            yield (
                f"{source.name}: {module} says that this source answers at once; where it waits all"
                " the same, everybody waits, until the watchdog ends the process"
            )
