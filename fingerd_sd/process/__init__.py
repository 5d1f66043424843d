# SPDX-License-Identifier: MIT
"""The life of the process, and what it stands on: systemd, the journal, threads, name servers."""
