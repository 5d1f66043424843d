# SPDX-License-Identifier: MIT
"""The source type "unit": the AF_UNIX sockets of other units."""
