# SPDX-License-Identifier: MIT
"""The PROXY protocol: connections that a balancer relays, on a socket of their own."""
