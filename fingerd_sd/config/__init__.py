# SPDX-License-Identifier: MIT
"""The configuration as TOML: files, tables, mistakes, and `[server]`. It knows no finger."""
