# SPDX-License-Identifier: MIT
"""Tests on a booted systemd: Debian bookworm (252) and trixie (257) in systemd-nspawn."""
