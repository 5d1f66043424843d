# SPDX-License-Identifier: MIT
"""Finger as a service: the sockets of port 79."""
