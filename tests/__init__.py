# SPDX-License-Identifier: MIT
"""The tests: mirrors of the package, integration/, system/, bench/."""
