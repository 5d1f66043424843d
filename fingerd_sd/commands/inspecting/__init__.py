# SPDX-License-Identifier: MIT
"""What an administrator asks before clients do: `check` and `ask`."""
