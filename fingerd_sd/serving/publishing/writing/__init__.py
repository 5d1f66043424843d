# SPDX-License-Identifier: MIT
"""Where the keeper writes: a file of this host, or a store that hosts share. Both do the same."""
