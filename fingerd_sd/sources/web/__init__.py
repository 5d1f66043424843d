# SPDX-License-Identifier: MIT
"""Answers that are pages of a web site."""
