# SPDX-License-Identifier: MIT
"""The loop, and what held connections wait for: octets, deadlines, the moment when an answer may
leave.
"""
