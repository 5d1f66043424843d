# SPDX-License-Identifier: MIT
"""A real process under socket activation."""
