# SPDX-License-Identifier: MIT
"""The sessions of each host: what it tells the store, and what others read of all hosts there."""
