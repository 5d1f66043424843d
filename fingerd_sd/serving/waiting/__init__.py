# SPDX-License-Identifier: MIT
"""What held connections wait for: octets, deadlines, the moment when an answer may leave."""
