# SPDX-License-Identifier: MIT
"""What all tests share: how hypothesis looks for counterexamples."""

import os

from hypothesis import settings

# No test asserts a time. Under CI, and where a distribution builds a package, the same examples are
# tried each time: a failure there is the commit's, not chance.
settings.register_profile(
    "fingerd",
    deadline=None,
    database=None,
    print_blob=True,
    derandomize=not os.environ.keys().isdisjoint({"CI", "SOURCE_DATE_EPOCH"}),
)
settings.load_profile("fingerd")
