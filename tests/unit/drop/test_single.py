"""`single_files = true`: a file put directly into `drop/ARCHIVE/` is a bundle of its own."""

from __future__ import annotations

import os

import msgspec
import pytest

from pacifica_fs.errors import IsADirectory, NotADirectory, NotFound, NotPermitted

from .conftest import SIDECAR, Rig


@pytest.fixture
def singles(tmp_path):
    rig = Rig(tmp_path / "spool")
    rig.archive = msgspec.structs.replace(rig.archive, single_files=True)
    rig.start()
    yield rig
    rig.stop()


def names(rig):
    return [name for name, _ in rig.folder.entries()]


def test_a_file_and_its_sidecar(singles):
    singles.put("scan.raw", b"scan")
    singles.put("scan.raw.metadata.json", SIDECAR)
    assert names(singles) == ["scan.raw.metadata.json", "scan.raw"] or names(singles) == [
        "scan.raw", "scan.raw.metadata.json",
    ]  # fmt: skip
    assert singles.at("scan.raw").attributes().size == 4
    singles.until(lambda: "the sidecar is there" in singles.upload("scan.raw").waiting_for)
    singles.clock.time += 31
    done = singles.until_state("done", "scan.raw")
    assert done.sidecar == "metadata.json" and singles.site.contents["1000"] == {"scan.raw": b"scan"}
    assert dict(singles.site.containers["1000"][0].metadata.fields)["project"] == "1234a"
    assert len(names(singles)) == 2
    singles.restart()
    assert len(names(singles)) == 2


def test_rsync_and_unlink(singles):
    singles.put(".a.raw.Xy12aB", b"one")
    singles.folder.rename(".a.raw.Xy12aB", singles.folder, "a.raw")
    assert names(singles) == ["a.raw"] and len(singles.drop.uploads()) == 1
    singles.put(".a.raw.Zy12aB", b"two!")
    singles.folder.rename(".a.raw.Zy12aB", singles.folder, "a.raw")
    assert singles.at("a.raw").attributes().size == 4 and len(singles.drop.uploads()) == 1
    singles.folder.unlink("a.raw")
    assert names(singles) == [] and not singles.drop.uploads()


def test_files_and_folders_side_by_side(singles):
    singles.mkdir("run")
    singles.put("run/a")
    singles.put("b")
    assert names(singles) == ["b", "run"]
    with pytest.raises(IsADirectory):
        singles.folder.create("run", os.O_WRONLY | os.O_CREAT, 0o644)
    with pytest.raises(IsADirectory):
        singles.folder.unlink("run")
    with pytest.raises(NotADirectory):
        singles.folder.rmdir("b")
    with pytest.raises(NotFound):
        singles.folder.lookup("c")
    for name in (".commit", "metadata.json"):
        with pytest.raises(NotPermitted):
            singles.folder.create(name, os.O_WRONLY | os.O_CREAT, 0o644)
