# SPDX-License-Identifier: MIT
"""Fixtures: one fleet a release, for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ...fresh.packages import package
from ...helpers import needs
from .. import roots
from .fleet import SERVERS, Fleet
from .layer import Layer
from .store import Store


@pytest.fixture(scope="package", params=roots.RELEASES)
def booted(request: pytest.FixtureRequest, able: None) -> Iterator[Fleet]:
    """All machines, with the package; what is on them is the tests' to start."""
    release = request.param
    try:
        root = roots.root(release, packages=roots.FLEET_PACKAGES[release])
    except roots.RootError as error:
        needs.cannot_run(str(error))
    with (
        Layer(root, package(release), roots.STORES[release]) as layer,
        Fleet(release, layer.path) as fleet,
    ):
        yield fleet


@pytest.fixture(scope="package")
def fleet(booted: Fleet) -> Fleet:
    """The same once the balancer is there, and has found both servers well."""
    booted.balance(*booted.fingers(*SERVERS))
    return booted


@pytest.fixture(scope="package")
def stores(booted: Fleet) -> Store:
    """The store of the fleet; nothing of it is started."""
    return Store(booted.hub, roots.STORES[booted.release])


@pytest.fixture
def store(stores: Store) -> Iterator[Store]:
    """The store, empty and started; its replica and Sentinel are not."""
    stores.renew()
    stores.start()
    yield stores
    stores.renew()
