# SPDX-License-Identifier: MIT
"""Every test here tells the table of ``make torture`` what it did and how it ended; one that fails
is in it too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from ..fleet.fleet import Fleet
from ..machine import Machine
from .table import Row, failed, write

FAILED = pytest.StashKey[bool]()


@pytest.fixture
def tell(
    booted: Machine | Fleet, request: pytest.FixtureRequest
) -> Iterator[Callable[[str, str], None]]:
    """What a test calls with what it did and the figures, once it has seen that they are right."""
    test = request.path.relative_to(request.config.rootpath)
    told = False

    def row(what: str, figure: str) -> None:
        nonlocal told
        told = True
        write(Row(what, booted.release, figure, str(test)))
        print(f"{booted.release}: {what}: {figure}")

    yield row
    assert told or request.node.stash.get(FAILED, False), "this test tells the table nothing"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Have a failure be a row of the table, whatever has been told before."""
    outcome = yield
    report: pytest.TestReport = outcome.get_result()  # type: ignore[attr-defined]
    if not report.failed or item.stash.get(FAILED, False):
        return
    item.stash[FAILED] = True
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    name = item.name.partition("[")[0].removeprefix("test_").replace("_", " ")
    others = [str(value) for key, value in parameters.items() if key != "booted"]
    what = ", ".join([name, *others])
    crash = getattr(report.longrepr, "reprcrash", None)
    reason = crash.message if crash is not None else str(report.longrepr)
    path = str(item.path.relative_to(item.config.rootpath))
    write(Row(what, str(parameters.get("booted")), failed(report.when, reason), path))
