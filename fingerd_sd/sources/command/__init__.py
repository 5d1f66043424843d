# SPDX-License-Identifier: MIT
"""Answers of a program."""
