# SPDX-License-Identifier: MIT
"""Mirrors fingerd_sd/store/master/."""
