# SPDX-License-Identifier: MIT
"""`fingerd-sd publish`: a user's own entry. It needs no privilege and reads no configuration."""
