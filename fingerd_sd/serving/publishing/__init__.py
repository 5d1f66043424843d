# SPDX-License-Identifier: MIT
"""Publishing: what a user wants others to know goes over a socket of its own, and is kept."""
