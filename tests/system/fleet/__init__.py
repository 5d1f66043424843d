# SPDX-License-Identifier: MIT
"""Booted machines on a bridge of their own: two servers, a balancer, a store, three login hosts."""
