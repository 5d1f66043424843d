# SPDX-License-Identifier: MIT
"""The bills of materials: valid, the same each time, and of what is declared."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from fingerd_sd import __version__

from ..helpers import needs
from ..helpers.builds import TREE, run
from ..project.test_supply import LOCKS, pins

pytestmark = pytest.mark.packages

READY = "build/supply/ready"  # what makes the bills; not made here, since that takes a network


@pytest.fixture(scope="module")
def bills(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the bills of this tree."""
    if not (TREE / READY).exists():
        needs.cannot_run(f"missing: {READY}; `make {READY}` makes it")
    folder = tmp_path_factory.mktemp("sbom")
    for number in ("1", "2"):
        run("make", "-o", READY, "sbom", f"SBOM={folder / number}")
    return folder


def bill(folder: Path, name: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((folder / f"{name}.cdx.json").read_bytes())
    assert told["bomFormat"] == "CycloneDX"
    about = told["metadata"]["component"]
    assert (about["name"], about["version"]) == ("fingerd-sd", __version__)
    return told


def test_the_bill_of_the_wheel_is_what_it_declares(bills: Path) -> None:
    project = tomllib.loads((TREE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [line for lines in project["optional-dependencies"].values() for line in lines]
    components = bill(bills / "1", "fingerd-sd")["components"]
    listed = [component["description"].partition(": ")[2] for component in components]
    assert sorted(listed) == sorted(declared)
    assert {"aiohttp", "lxml"} <= {component["name"] for component in components}


def test_the_bill_of_the_development_tools_is_what_is_locked(bills: Path) -> None:
    components = bill(bills / "1", "development")["components"]
    listed = {(component["name"], component["version"]) for component in components}
    assert listed == {pin for lock in LOCKS for pin in pins(lock).items()}


def test_the_same_tree_has_the_same_bills(bills: Path) -> None:
    names = sorted(path.name for path in (bills / "1").iterdir())
    assert names == ["development.cdx.json", "fingerd-sd.cdx.json"]
    for name in names:
        assert (bills / "1" / name).read_bytes() == (bills / "2" / name).read_bytes()
