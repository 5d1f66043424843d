# SPDX-License-Identifier: MIT
"""The commands serve, check, ask and compile: they build all the rest and join it."""
