"""pytest's view of mounts: the factory `mounted`, and what keeps a hanging mount from hanging the tests."""

from __future__ import annotations

import ctypes.util
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.servers.fixtures import unavailable
from tests.servers.guard import Guard

from .harness import COMMAND, Mount

# After a test's own time limit, a mount that it may hang on is aborted so that the limit can take effect.
_GRACE = "PACIFICA_FS_TEST_GRACE"
_MOUNTS = pytest.StashKey[list[Mount]]()


class Mounts:
    """The factory: `mounted(tables)` is a ready Mount with that configuration; all end with the test."""

    def __init__(self, folder: Path, guard: Guard, made: list[Mount]) -> None:
        self._folder = folder
        self._guard = guard
        self._made = made

    def __call__(self, tables: Mapping[str, Any] | None = None, *, start: bool = True, **more: Any) -> Mount:
        """`tables` is the configuration (None: the `local` archive `here`); `options`, `environment` as in Mount."""
        mount = Mount(self._folder / f"mount{len(self._made) or ''}", tables or {}, self._guard, **more)
        self._made.append(mount)
        if start:
            mount.start()
        return mount


@pytest.fixture
def mounted(request: pytest.FixtureRequest, tmp_path: Path, guard: Guard) -> Iterator[Mounts]:
    """A factory of mounts. Fails the test if a daemon does not end by SIGTERM or logged an unexpected traceback."""
    made = request.node.stash.setdefault(_MOUNTS, [])
    yield Mounts(tmp_path, guard, made)
    problems = []
    for mount in made:
        try:
            mount.stop()
        except AssertionError as error:
            problems.append(str(error))
        finally:
            mount.remove()
        problems += [f"unexpected in {mount.log}:\n{text}" for text in mount.unexpected_tracebacks()]
    if problems:
        pytest.fail("\n\n".join(problems), pytrace=False)


def missing() -> str:
    """Why nothing can be mounted here, with the remedy; "" if it can."""
    if not os.path.exists("/dev/fuse"):
        return "/dev/fuse is missing: modprobe fuse (a container: --device /dev/fuse --cap-add SYS_ADMIN)"
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return f"/dev/fuse cannot be opened: {error.strerror}"
    if not ctypes.util.find_library("fuse3"):
        return "libfuse3 is missing: apt-get install fuse3"
    if os.getuid() and not shutil.which("fusermount3"):
        return "fusermount3 is missing: apt-get install fuse3"
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What uses a fixture has its mark."""
    for item in items:
        names = getattr(item, "fixturenames", ())
        if "mounted" in names:
            item.add_marker(pytest.mark.mount)
        if "pacifica_site" in names:
            item.add_marker(pytest.mark.pacifica)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Without FUSE the tests marked `mount` are skipped; in CI they fail."""
    if item.get_closest_marker("mount") and (reason := missing()):
        unavailable(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Who waits in the kernel for a daemon hears no signal and so no time limit: then the connection is aborted."""
    if not item.get_closest_marker("mount"):
        return (yield)

    def free() -> None:
        for mount in item.stash.get(_MOUNTS, []):
            mount.abort()

    marker = item.get_closest_marker("timeout")
    limit = float(marker.args[0] if marker and marker.args else item.config.getini("timeout") or 120)
    watchdog = threading.Timer(limit + float(os.environ.get(_GRACE, "10")), free)
    watchdog.daemon = True
    watchdog.start()
    try:
        return (yield)
    finally:
        watchdog.cancel()
        watchdog.join()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[pytest.TestReport]:
    """A failure shows the daemons' logs."""
    report = yield
    if report.failed:
        for mount in item.stash.get(_MOUNTS, []):
            tail = mount.log.read_text(errors="replace")[-8000:] if mount.log.exists() else ""
            report.sections.append((f"log of the daemon at {mount.path}", tail))
    return report


__all__ = ["COMMAND", "Mount", "Mounts"]
