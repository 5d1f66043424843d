# SPDX-License-Identifier: MIT
"""Mirrors fingerd_sd/sources/unit/."""
