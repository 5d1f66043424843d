# SPDX-License-Identifier: MIT
"""The keeper is killed again and again while users publish."""

from __future__ import annotations

from collections.abc import Callable

from ..finger import Finger
from ..test_publish import USERS, keeper, kill_while_users_publish, users

__all__ = ("keeper", "users")  # fixtures

KILLS = 200


def test_nothing_acknowledged_is_lost_and_nothing_torn_is_shown(
    keeper: Finger, tell: Callable[[str, str], None]
) -> None:
    acknowledged = kill_while_users_publish(keeper, KILLS)
    what = f"{KILLS} × SIGKILL of the keeper while {len(USERS)} users publish"
    tell(what, f"0 of {acknowledged:,} acknowledged lost, 0 torn")
