# SPDX-License-Identifier: MIT
"""fingerd-sd: a finger server (RFC 1288) for machines run by systemd."""

__version__ = "0.1.0"
