# SPDX-License-Identifier: MIT
"""Waiting: for sources, each within its time, and for look-ups that several clients share.

In the directory only this package and directory/lists.py import asyncio. `Directory.prepare`
imports both; else the first query that must wait does.
"""
