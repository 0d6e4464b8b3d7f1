"""From sealed to done, and every way in which that can go wrong: exactly once, or in the spool with a reason."""

from __future__ import annotations

import threading

import pytest

from pacifica_fs.errors import Denied, Invalid, Unreachable
from pacifica_fs.model import Problem, Progress

from .conftest import SIDECAR


def fill(rig, name="run", commit=True):
    rig.mkdir(name)
    rig.put(f"{name}/a.dat", b"alpha")
    rig.at(name).mkdir("sub", 0o755)
    rig.put(f"{name}/sub/b.dat", b"beta" * 1000)
    rig.put(f"{name}/empty", b"")
    rig.put(f"{name}/metadata.json", SIDECAR)
    if commit:
        rig.commit(name)


def test_a_committed_folder_becomes_a_transaction(rig):
    fill(rig)
    done = rig.until_state("done")
    rig.until(rig.drop.idle)
    assert done.transaction == "1000" and done.sidecar == "metadata.json" and done.files == 3
    bundle, _ = rig.site.containers["1000"]
    assert dict(bundle.metadata.fields) == {"project": "1234a", "instrument": "54"}
    assert bundle.metadata.keys == (("Tag", "first"),)
    assert rig.site.contents["1000"] == {"a.dat": b"alpha", "sub/b.dat": b"beta" * 1000, "empty": b""}
    assert rig.adopted == rig.site.contents["1000"]
    assert not (rig.root / "bundles" / done.id / "files").exists()
    assert {f["path"] for f in done.receipt["files"]} == {"a.dat", "sub/b.dat", "empty"}
