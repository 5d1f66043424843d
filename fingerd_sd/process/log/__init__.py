# SPDX-License-Identifier: MIT
"""The log: what is written to the journal, and how."""
