# SPDX-License-Identifier: MIT
"""The seam to the sources: asking them in order, lists, kept answers, and the RUIP of RFC 1288."""
