# SPDX-License-Identifier: MIT
"""The commands of the README in Debian roots that have seen nothing of this project."""
