"""pytest's view of the servers: `guard`, `pacifica_site`, `pacifica_faults`, `ckan_site`, `faulty`, `fake_site`,
`seaweedfs`.

Registered by tests/conftest.py. A fixture that cannot be had skips the test and says what to install; where `CI` is set
it fails the test instead, so that nothing is skipped unseen.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from .ckan import CkanSite
from .fake_site import FakeSite
from .faulty import FaultyProxy
from .guard import Guard
from .pacifica import Site, Unavailable
from .seaweedfs import SeaweedFS
from .seaweedfs import Unavailable as NoSeaweedFS


def unavailable(reason: str) -> None:
    """Skip, or fail in CI."""
    if os.environ.get("CI"):
        pytest.fail(f"in CI nothing may be missing: {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def guard() -> Iterator[Guard]:
    """Ends registered processes, mounts and folders, even if this test run is killed."""
    with Guard() as guard:
        yield guard


@pytest.fixture(scope="session")
def pacifica_site(guard: Guard) -> Iterator[Site]:
    """A running Pacifica site for the whole session; see `Site`. To stop services of it use `pacifica_faults`."""
    try:
        site = Site.prepare(guard)
    except Unavailable as reason:
        unavailable(str(reason))
        raise
    with site:
        yield site


@pytest.fixture
def pacifica_faults(pacifica_site: Site) -> Iterator[Site]:
    """The same site, to stop and kill services of: all of them run again after the test."""
    yield pacifica_site
    pacifica_site.restore()


@pytest.fixture(scope="session")
def ckan_site(guard: Guard) -> Iterator[CkanSite]:
    """A running CKAN site for the whole session; see `CkanSite`. Tests make packages of their own."""
    try:
        site = CkanSite.prepare(guard, max_mib=4)
    except Unavailable as reason:
        unavailable(str(reason))
        raise
    with site:
        yield site


@pytest.fixture
def ckan_faults(ckan_site: CkanSite) -> Iterator[CkanSite]:
    """The same site, to stop and kill programs of: all of them run again after the test."""
    yield ckan_site
    ckan_site.restore()


@pytest.fixture
def faulty() -> Iterator[Callable[[str], FaultyProxy]]:
    """A factory: `faulty(site.cart)` is a `FaultyProxy` in front of that URL, closed after the test."""
    with ExitStack() as stack:
        yield lambda upstream: stack.enter_context(FaultyProxy(upstream))


@pytest.fixture(scope="session")
def seaweedfs(guard: Guard) -> Iterator[SeaweedFS]:
    """A running S3 server for the whole session; see `SeaweedFS`."""
    try:
        server = SeaweedFS(guard)
    except NoSeaweedFS as reason:
        unavailable(str(reason))
        raise
    with server:
        yield server


@pytest.fixture
def fake_site() -> Iterator[FakeSite]:
    """A scripted policy and cart service of its own for each test."""
    site = FakeSite()
    yield site
    site.close()
