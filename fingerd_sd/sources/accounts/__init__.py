# SPDX-License-Identifier: MIT
"""This machine's accounts: NSS, homes, sessions, last logins, mail."""
