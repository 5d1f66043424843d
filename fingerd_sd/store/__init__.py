# SPDX-License-Identifier: MIT
"""The directory that several hosts share: all that is known here of Redis and its like."""
