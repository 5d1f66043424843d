# SPDX-License-Identifier: MIT
"""Metrics: what the process counts, for Prometheus, and whether it is well, for a load balancer."""
