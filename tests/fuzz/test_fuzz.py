# SPDX-License-Identifier: MIT
"""What fuzzing found stays mended; a short fuzz finds nothing more, and `make fuzz` is a long one.

Each target says in its own words which property holds of any octets.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ..helpers import needs
from . import blind, run
from .target import CORPUS, Target, keep
from .targets import TARGETS

CASES = [path for target in TARGETS.values() for path in target.cases()]
SEED = 1  # so that a failure is the commit's, not chance
MODULES = {
    "metrics": "prometheus_client",
    "html": "lxml",
    "page": "lxml",
    "http": "aiohttp",
    "resource": "idna",
    "visit": "jinja2",
    "words": "jinja2",
}


def _break(octets: bytes) -> None:
    assert b"needle" not in octets


BROKEN = Target("broken", _break, (b"needle",))


def _needs(name: str) -> None:
    if name in MODULES:
        needs.modules(MODULES[name])


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_known_case_keeps_the_property(path: Path) -> None:
    _needs(path.parent.name)
    TARGETS[path.parent.name].check(path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_a_short_fuzz_finds_nothing(name: str, tmp_path: Path) -> None:
    _needs(name)
    target = TARGETS[name]
    if run.has_atheris():
        limits = [f"-runs={target.runs}", f"-seed={SEED}"]
        found = tmp_path / "found"
        well, said = run.guided(target, limits, found, tmp_path / "reached")
        assert well, f"{said}\n{[path.read_bytes() for path in found.iterdir()]}"
        # On a slow machine libFuzzer reads its corpus again, which counts as inputs too.
        assert int(run.figures(said).split()[0].replace(",", "")) >= target.runs
    else:
        broke = blind.fuzz(target, target.runs // run.BLIND, SEED)
        assert broke is None, f"written to {keep(tmp_path, broke)}: {broke!r}"


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_has_seeds_within_its_length(name: str) -> None:
    sizes = [path.stat().st_size for path in TARGETS[name].cases()]
    assert sizes
    assert max(sizes) <= TARGETS[name].longest


def test_every_case_belongs_to_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)


def test_hypothesis_finds_what_is_broken_and_makes_it_small() -> None:
    assert blind.fuzz(BROKEN, 2000, SEED) == b"needle"


def test_atheris_finds_what_is_broken_and_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not run.has_atheris():
        pytest.skip(run.NO_ATHERIS)
    monkeypatch.setitem(TARGETS, "broken", BROKEN)
    monkeypatch.setattr(run, "PROGRAM", (sys.executable, "-c", WITH_BROKEN))
    limits = ["-runs=100000", f"-seed={SEED}"]
    well, said = run.guided(BROKEN, limits, tmp_path / "found", tmp_path / "reached")
    assert not well
    assert "AssertionError" in said
    [found] = (tmp_path / "found").iterdir()
    assert b"needle" in found.read_bytes()


WITH_BROKEN = """
import sys
from tests.fuzz import guided, test_fuzz
guided.fuzz(test_fuzz.BROKEN, sys.argv[2:])
"""


def test_what_is_found_is_kept_and_fails_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(TARGETS, "broken", BROKEN)
    monkeypatch.setattr("tests.fuzz.target.CORPUS", tmp_path)
    monkeypatch.setattr(run, "has_atheris", lambda: False)
    monkeypatch.setattr("logging.disable", lambda: None)
    assert run.main(["--seconds", "1", "broken"]) == 1
    [found] = (tmp_path / "broken").iterdir()
    assert found.read_bytes() == b"needle"
    said = capsys.readouterr().out
    assert run.NO_ATHERIS in said
    assert str(found) in said


def test_an_unknown_target_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run.main(["nosuch"])
    assert "no target nosuch; there are: " in capsys.readouterr().err
