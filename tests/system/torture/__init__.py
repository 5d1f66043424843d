# SPDX-License-Identifier: MIT
"""What goes wrong on purpose: load, faults and hostile clients, on booted machines."""
