# SPDX-License-Identifier: MIT
"""How an entry is laid out as text: the long and the short form of BSD's finger. Sans-I/O."""
