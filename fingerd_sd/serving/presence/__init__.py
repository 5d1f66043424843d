# SPDX-License-Identifier: MIT
"""What this host tells the store that several hosts share: who is logged in here. No sockets."""
