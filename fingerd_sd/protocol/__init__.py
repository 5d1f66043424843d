# SPDX-License-Identifier: MIT
"""RFC 1288 without sockets: text, queries, entries, layouts, replies, hosts. Sans-I/O."""
