# SPDX-License-Identifier: MIT
"""All targets by name. Importing this imports what is fuzzed."""

from __future__ import annotations

from . import clients, files, fleet, presence, sites, visitors, words

MODULES = (clients, files, fleet, presence, sites, visitors, words)
TARGETS = {target.name: target for module in MODULES for target in module.TARGETS}
