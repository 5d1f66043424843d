# SPDX-License-Identifier: MIT
"""Users that are written down: in the configuration, in a TOML file, or in a database."""
