# SPDX-License-Identifier: MIT
"""What all tests share: how hypothesis looks for counterexamples."""

import os

from hypothesis import settings

# No test asserts a time. Under CI the same examples are tried each time: a failure there is the
# commit's, not chance.
settings.register_profile(
    "fingerd", deadline=None, database=None, print_blob=True, derandomize="CI" in os.environ
)
settings.load_profile("fingerd")
