# SPDX-License-Identifier: MIT
"""Who may ask what: audiences, refusals, rates, and notices of limited clients. Sans-I/O."""
