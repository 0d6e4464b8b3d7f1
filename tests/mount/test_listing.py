"""A listing asks for names only, and one bad entry is that entry's own affair."""

import errno
import json
import os

import pytest

from .survival import failure
from .test_into_the_drop import archived, with_sidecar

pytestmark = [pytest.mark.mount, pytest.mark.timeout(120)]


def test_one_damaged_transaction_does_not_hide_the_others(mounted, tmp_path):
    archive = tmp_path / "archive"
    mount = mounted({"archives": {"here": {"kind": "local", "path": str(archive)}}})
    for name in ("one", "two"):
        drop = mount.path / "drop/here" / name
        drop.mkdir()
        (drop / "data").write_text(name)
        with_sidecar(drop)
        archived(mount, name)
    mount.forget_cache()
    damaged = archive / "transactions/2/transaction.json"
    damaged.chmod(0o644)
    damaged.write_text("{")
    folder = mount.path / "here/transactions"
    assert sorted(os.listdir(folder)) == ["1", "1.json", "2", "2.json"]
    document = folder / "1.json"
    assert document.stat().st_size == len(document.read_bytes()) and json.loads(document.read_bytes())["id"] == "1"
    assert failure(lambda: os.stat(folder / "2.json")) == errno.EIO
    assert (folder / "1/data").read_text() == "one"
