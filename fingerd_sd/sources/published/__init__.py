# SPDX-License-Identifier: MIT
"""Users who have published themselves: what they said, and their accounts' names."""
