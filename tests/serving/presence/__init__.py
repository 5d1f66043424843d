# SPDX-License-Identifier: MIT
"""Mirrors fingerd_sd/serving/presence/."""
