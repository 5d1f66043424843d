# SPDX-License-Identifier: MIT
"""Fixtures: one booted machine a release and a session, one known state a test.

Where machines cannot be booted the tests are skipped with the reason; under CI they fail.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from ..helpers import needs
from . import project, roots
from .finger import PROBE, Finger
from .machine import Machine

HERE = Path(__file__).parent
HANGS = 1800  # seconds: the first test of all may make the roots
TOOLS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "tar": "tar",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder, so that ``-m 'not system'`` leaves them out."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.system)
            item.add_marker(pytest.mark.timeout(HANGS))
            # With pytest-xdist one process has all tests of a release, on one booted machine.
            parameters = item.callspec.params if hasattr(item, "callspec") else {}
            item.add_marker(pytest.mark.xdist_group(str(parameters.get("booted"))))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Add to a failure what the journal of the machine, or of each of a fleet, holds."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    for name, seen in getattr(item, "funcargs", {}).items():
        if report.failed and name in ("finger", "fleet"):
            report.sections.append((f"journal of {seen.release}", seen.diary()))


@pytest.fixture(scope="session")
def able() -> None:
    """Machines can be booted here."""
    if lacking := _what_is_missing():
        needs.cannot_run(lacking)


@pytest.fixture(scope="session")
def built(request: pytest.FixtureRequest, able: None) -> Iterator[dict[str, Future[Path]]]:
    """Build, side by side, the roots of the releases that the selected tests ask for."""
    asked = {
        item.callspec.params.get("booted")
        for item in request.session.items
        if hasattr(item, "callspec")
    }
    with ThreadPoolExecutor() as builders:
        yield {
            release: builders.submit(roots.root, release)
            for release in roots.RELEASES
            if release in asked
        }


@pytest.fixture(scope="session", params=roots.RELEASES)
def booted(request: pytest.FixtureRequest, built: dict[str, Future[Path]]) -> Iterator[Machine]:
    """A booted machine that has never seen the project."""
    try:
        root = built[request.param].result()
    except roots.RootError as error:
        needs.cannot_run(str(error))
    machine = Machine(request.param, root)
    try:
        yield machine
    finally:
        machine.close()


@pytest.fixture(scope="session")
def pristine(booted: Machine) -> frozenset[str]:
    """The paths on the machine before the project was installed."""
    return frozenset(project.files(booted))


@pytest.fixture(scope="session")
def machine(booted: Machine, pristine: frozenset[str]) -> Machine:
    """A booted machine with the project installed by ``make install``."""
    project.bring(booted)
    project.install(booted)
    return booted


@pytest.fixture
def finger(machine: Machine) -> Finger:
    """The service on the machine: installed, neither enabled nor started, not configured."""
    service = Finger(machine)
    service.forget()
    return service


@pytest.fixture
def probe(finger: Finger) -> Finger:
    """The service with the source that says its process id, and crashes and hangs on demand."""
    project.install_probe(finger.machine)
    finger.configure(PROBE)
    finger.listen()
    return finger


@pytest.fixture(scope="session")
def packaged(booted: Machine) -> Iterator[Machine]:
    """A second machine of the same release, which sees nothing of `make install`."""
    machine = Machine(booted.release, roots.root(booted.release), use="deb")
    try:
        yield machine
    finally:
        machine.close()


@pytest.fixture
def clean(packaged: Machine) -> Iterator[frozenset[str]]:
    """The files of that machine without the package, which is purged afterwards in any case."""
    yield frozenset(project.files(packaged))
    packaged.run("dpkg", "--purge", "fingerd-sd", check=False)


def _what_is_missing() -> str:
    """Return why machines cannot be booted here, with the remedy; empty where they can."""
    if packages := sorted({TOOLS[tool] for tool in TOOLS if shutil.which(tool) is None}):
        return f"tools are missing: apt install {' '.join(packages)}"
    return needs.mounts() or needs.becoming_nobody()
