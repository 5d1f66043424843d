# SPDX-License-Identifier: MIT
"""Sockets: a folder for each name that a passed socket may have."""
