# SPDX-License-Identifier: MIT
"""Sockets: accepting and the fast path, held connections, forwarding."""
