# SPDX-License-Identifier: MIT
"""HTTP: its connections, their bounds and their ends. aiohttp parses and writes."""
