# SPDX-License-Identifier: MIT
"""What all tests share: how hypothesis looks for counterexamples, and when a test hangs."""

import faulthandler
import signal
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest
from hypothesis import settings

HANGS = 300  # seconds after which a test is ended, with the stacks of all threads
LEAVES = 60  # seconds for the process to end after its last test
STDERR = 2  # the descriptor: what is captured while a test runs

# No test asserts a time, and the same examples are tried each time: a failure is the commit's, not
# chance. `make fuzz` looks for others.
settings.register_profile(
    "fingerd", deadline=None, database=None, print_blob=True, derandomize=True
)
settings.load_profile("fingerd")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Have every test end that hangs, by pytest-timeout."""
    if config.pluginmanager.hasplugin("timeout"):
        for item in items:
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(HANGS))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Do what pytest-timeout does where that is not installed."""
    if item.config.pluginmanager.hasplugin("timeout"):
        yield
        return
    before = signal.signal(signal.SIGALRM, _hangs)
    signal.alarm(HANGS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def _hangs(*_: object) -> NoReturn:
    faulthandler.dump_traceback(file=STDERR)
    pytest.fail(f"no end in {HANGS} s")


def pytest_unconfigure() -> None:
    """End the process all the same where a thread that a test left behind keeps it."""
    faulthandler.dump_traceback_later(LEAVES, exit=True, file=STDERR)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With --dist loadgroup one process has all tests of a release, on one booted machine.

    pytest-xdist 3.8 looks for groups at the end of test ids, and cannot put them there any more
    since pytest 9.2. The release is in the id in any case.
    """
    if config.getoption("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    from .system.roots import RELEASES

    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = lambda test: next((it for it in RELEASES if f"[{it}" in test), test)
    return scheduler
