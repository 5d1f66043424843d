# SPDX-License-Identifier: MIT
"""The development tools: of each, and of all that it needs, one version, known by its hash."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted(path.name for path in ROOT.glob("requirements-*.txt"))
PIN = re.compile(r"(?P<name>[a-z0-9._-]+)==(?P<version>[^ ;]+)(?: ; [^\\]+?)?")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def requirements(name: str) -> list[str]:
    """Return the requirements of a file, continued lines joined, comments left out."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def pins(name: str) -> dict[str, str]:
    """Return name and version of each; a line that pins nothing fails."""
    found = [PIN.match(line) for line in requirements(name)]
    assert all(found)
    return {match["name"]: match["version"] for match in found if match}


def test_make_knows_the_locks() -> None:
    assert LOCKS
    assert f"\nLOCKS = {' '.join(LOCKS)}\n" in (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize("lock", LOCKS)
def test_all_that_is_installed_is_known_by_its_hash(lock: str) -> None:
    for line in requirements(lock):
        pin, *hashes = re.split(r"\s+(?=--)", line)
        assert PIN.fullmatch(pin), pin
        assert hashes, pin
        assert all(map(HASH.fullmatch, hashes)), pin


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_what_was_asked_for_and_what_that_needs(lock: str) -> None:
    wanted, locked = pins(lock.replace(".txt", ".in")), pins(lock)
    assert wanted.items() <= locked.items()
    assert len(locked) > len(wanted)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_says_nothing_of_where_things_come_from(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert not re.search("://|--index|--find-links|--trusted-host", text)
