"""A mount in front of the real services that the tests of a module share, because a start of all takes seconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.mount.fixtures import _MOUNTS
from tests.mount.harness import Mount
from tests.servers.front import Front
from tests.servers.guard import Guard

from .test_ckan_kind import Kind
from .tools import Bundles


@pytest.fixture(scope="module")
def front(pacifica_site: Any) -> Iterator[Front]:
    """Proxies in front of the site's services."""
    with Front(pacifica_site) as front:
        yield front


@pytest.fixture(scope="module")
def shared(request: pytest.FixtureRequest, front: Front, guard: Guard, tmp_path_factory: Any) -> Iterator[Mount]:
    """A ready mount with the module's `tables(front)`; it must end by SIGTERM, without an unexpected traceback."""
    tables: Mapping[str, Any] = request.module.tables(front)
    mount = Mount(tmp_path_factory.mktemp("shared"), tables, guard)
    mount.start()
    try:
        yield mount
        mount.stop()
    finally:
        mount.remove()
    assert not mount.unexpected_tracebacks(), "\n\n".join(mount.unexpected_tracebacks())


@pytest.fixture
def mount(request: pytest.FixtureRequest, shared: Mount) -> Mount:
    """The shared mount, which is aborted if a test hangs on it and whose log a failure shows."""
    request.node.stash[_MOUNTS] = [shared]
    if not shared.process.alive():
        shared.remove()
        shared.start()
    return shared


@pytest.fixture
def bundles(mount: Mount, tmp_path: Path) -> Bundles:
    """Drops folders."""
    return Bundles(mount, tmp_path)


@pytest.fixture
def kinds(tmp_path: Path) -> Iterator[Any]:
    """A factory: `kinds(ckan_site, **options)` is an archive of kind `ckan` without a mount, closed after the test."""
    made: list[Kind] = []

    def make(site: Any, **options: Any) -> Kind:
        made.append(Kind(tmp_path, **site.archive_table(**options)))
        return made[-1]

    yield make
    for kind in made:
        kind.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What mounts is marked so."""
    for item in items:
        if "shared" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.mount)
