# SPDX-License-Identifier: MIT
"""How many descriptors this process may have: connections leave some to all the rest.

So a look-up of accounts does not lack one, and what it does not find is not there: it need not try
whether there are any left. That holds for the limit of finger.service, 65536. With the usual 1024
it holds unless relays and programs take more than is left. Below FEW there are too few to leave
any, and a look-up has to try. getrlimit(2), RLIMIT_NOFILE.
"""

from __future__ import annotations

import os

LEFT = 128  # descriptors for all but connections: 8 look-ups of accounts take 6 each
FEW = 2 * LEFT


def limit() -> int:
    """Return how many this process may have open."""
    return os.sysconf("SC_OPEN_MAX")


def are_few() -> bool:
    """Whether connections may take the last of them."""
    return limit() < FEW


def for_connections() -> int:
    """Return how many connections may be open, as far as descriptors go."""
    return limit() - (0 if are_few() else LEFT)
