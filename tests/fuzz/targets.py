# SPDX-License-Identifier: MIT
"""All targets by name. Importing this imports what is fuzzed."""

from __future__ import annotations

from . import clients, files, sites

TARGETS = {target.name: target for module in (clients, files, sites) for target in module.TARGETS}
