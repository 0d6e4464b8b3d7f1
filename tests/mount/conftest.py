"""Every test of this folder needs a kernel that mounts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from .harness import Mount
from .test_into_the_drop import archived, run, with_sidecar

HERE = Path(__file__).parent


@pytest.fixture
def big() -> int:
    """Bytes of the large file in `source`."""
    return 5_000_000


@pytest.fixture
def source(tmp_path: Path, big: int) -> Path:
    """A folder as users have them."""
    folder = tmp_path / "source"
    (folder / "a/b").mkdir(parents=True)
    (folder / "a/b/big.bin").write_bytes(os.urandom(big))
    (folder / "a/text").write_text("needle in hay\n" * 1000)
    (folder / "empty").touch()
    (folder / "é").write_text("unicode")
    return folder


@pytest.fixture
def transaction(mounted: Any, source: Path, tmp_path: Path) -> tuple[Mount, Path]:
    """A mount whose cache knows nothing of the one transaction in its archive."""
    mount = mounted({"archives": {"here": {"kind": "local", "path": str(tmp_path / "archive")}}})
    drop = mount.path / "drop/here/run1"
    run("cp", "-a", source, drop)
    with_sidecar(drop)
    folder = archived(mount, "run1")
    mount.forget_cache()
    return mount, folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them all (pytest hands over the items of the whole run)."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.mount)
