# SPDX-License-Identifier: MIT
"""The same directory on the web: pages, WebFinger, JSON, vCard, Atom. A process of its own."""
