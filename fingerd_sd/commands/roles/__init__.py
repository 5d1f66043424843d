# SPDX-License-Identifier: MIT
"""Which role a process has, by the names of the sockets that it was passed, and how it begins."""
