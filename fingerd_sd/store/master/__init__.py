# SPDX-License-Identifier: MIT
"""The server that is asked: which one has the data, and whether it is set up as it must be."""
