# SPDX-License-Identifier: MIT
"""What all tests share: how hypothesis looks for counterexamples, and when a test hangs."""

import pytest
from hypothesis import settings

HANGS = 300  # seconds after which a test is ended, with the stacks of all threads

# No test asserts a time, and the same examples are tried each time: a failure is the commit's, not
# chance. `make fuzz` looks for others.
settings.register_profile(
    "fingerd", deadline=None, database=None, print_blob=True, derandomize=True
)
settings.load_profile("fingerd")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Have every test end that hangs. Without pytest-timeout faulthandler at least tells where."""
    if config.pluginmanager.hasplugin("timeout"):
        for item in items:
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(HANGS))
