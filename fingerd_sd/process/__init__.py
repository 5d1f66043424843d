# SPDX-License-Identifier: MIT
"""The life of the process, and what it uses: systemd, the journal, threads, name servers."""
