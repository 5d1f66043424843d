# SPDX-License-Identifier: MIT
"""The project as a whole: its imports, manual pages, pinned tools and tables."""
