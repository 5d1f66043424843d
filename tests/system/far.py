# SPDX-License-Identifier: MIT
"""What is served to clients behind a balancer: one of them sees more of a user than the name."""

from __future__ import annotations

ALICE = "Login: alice          \t\t\tName: Alice\r\nOffice: Hill 016\r\n"  # as the far client sees


def configuration(far: str, more: str = "") -> str:
    """Return a configuration with the audience "far" for the client at `far`, and `more` tables."""
    return f"""
[[audience]]
name = "far"
networks = ["{far}"]
show = ["name", "office"]
rate = 0
{more}
[[source]]
type = "static"
users.moshez = "Happy and well"
users.alice = {{ name = "Alice", office = "Hill 016", plan = "x" }}
"""
