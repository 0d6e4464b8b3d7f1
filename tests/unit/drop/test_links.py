"""Symbolic links that are followed, and files that come without a copy."""

from __future__ import annotations

import errno
import json
import os

import pytest

from pacifica_fs.config import DropSettings, Size
from pacifica_fs.errors import Exists, Invalid, NoSpace, NotFound, NotPermitted, Unsupported
from pacifica_fs.tree.nodes import Link


@pytest.fixture
def follow(rig):
    rig.stop()
    rig.settings = DropSettings(min_free=Size(0), symlinks="follow")
    rig.start()
    rig.mkdir("run")
    return rig


def test_links_are_refused_unless_they_are_wanted(rig):
    rig.mkdir("run")
    with pytest.raises(NotPermitted, match="follow"):
        rig.at("run").symlink("a", "a")


def test_what_a_link_leads_to_is_archived_in_its_place(follow, tmp_path):
    rig = follow
    (tmp_path / "far.raw").write_bytes(b"far away")
    os.utime(tmp_path / "far.raw", ns=(0, 1_500_000_000_000_000_000))
    run = rig.at("run")
    run.symlink("a", "near")
    run.mkdir("sub", 0o755)
    run.lookup("sub").symlink("up", "../near")
    run.symlink("far", str(tmp_path / "far.raw"))
    run.symlink("broken", "nothing")
    run.symlink("folder", "sub")
    run.symlink("out", "../../../bundle.json")
    rig.put("run/near", b"near by")
    node = run.lookup("a")
    assert isinstance(node, Link) and node.target == "near"
    rig.commit("run")
    done = rig.until_state("done")
    assert rig.site.contents["1000"] == {"a": b"near by", "sub/up": b"near by", "far": b"far away", "near": b"near by"}
    why = {one.path: one.why for one in done.left_out}
    assert set(why) == {"broken", "folder", "out"}
    assert "leads out of the folder" in why["out"] and "not a file" in why["folder"]
    assert (tmp_path / "far.raw").read_bytes() == b"far away"
    refs = {ref.parts[-1]: ref for ref in rig.site.containers["1000"][1]}
    assert refs["far"].mtime_ns == 1_500_000_000_000_000_000


# Files without a copy.


def take(rig, source, path, name="run"):
    id = rig.upload(name).id
    rig.drop.control(json.dumps({"do": "take", "id": id, "source": str(source), "path": path}).encode())


@pytest.fixture
def source(tmp_path):
    file = tmp_path / "scan.raw"
    file.write_bytes(b"scan" * 1000)
    file.chmod(0o444)
    return file


@pytest.fixture
def linking(rig, monkeypatch):
    """A disk without shared blocks."""

    def clone(self, fd, source):
        raise OSError(errno.EOPNOTSUPP, "no reflink")

    monkeypatch.setattr("pacifica_fs.drop.disk.Disk.clone", clone)
    rig.mkdir("run")
    return rig


def test_a_file_that_nobody_can_write_is_linked(linking, source):
    rig = linking
    take(rig, source, "sub/scan.raw")
    assert os.path.samefile(rig.spooled() / "sub/scan.raw", source)
    rig.commit("run")
    rig.until_state("done")
    rig.until(rig.drop.idle)
    assert rig.site.contents["1000"] == {"sub/scan.raw": b"scan" * 1000}
    # Its owner may still change it, so it never becomes the cache's blob; and it is still there.
    assert rig.adopted == {} and source.read_bytes() == b"scan" * 1000


def test_what_may_be_written_is_not_linked(linking, source):
    source.chmod(0o644)
    with pytest.raises(Unsupported):
        take(linking, source, "scan.raw")
    assert not (linking.spooled() / "scan.raw").exists()
    source.chmod(0o444)
    with pytest.raises(NotFound):
        take(linking, source.parent / "nothing", "x")
    with pytest.raises(Invalid):
        take(linking, source.parent, "x")
    with pytest.raises(Invalid):
        take(linking, source, "../x")


def test_what_somebody_writes_is_not_linked(linking, source):
    with open(os.open(source, os.O_RDONLY), "rb"):
        take(linking, source, "read")
    source.chmod(0o644)
    with source.open("ab"):
        source.chmod(0o444)
        with pytest.raises(Unsupported, match="in use"):
            take(linking, source, "written")


def test_a_change_in_the_drop_never_reaches_the_source(linking, source):
    rig = linking
    for name in ("a", "b", "c"):
        take(rig, source, name)
    with pytest.raises(Exists):
        take(rig, source, "a")
    handle = rig.at("run").lookup("a").open(os.O_WRONLY)
    handle.write(memoryview(b"SCAN"), 0)
    handle.flush()
    handle.release()
    rig.at("run").lookup("b").set_mode(0o600)
    rig.at("run").lookup("c").set_times(10**18)
    assert source.read_bytes() == b"scan" * 1000 and source.stat().st_mode & 0o777 == 0o444
    assert source.stat().st_mtime_ns != 10**18
    rig.commit("run")
    rig.until_state("done")
    assert rig.site.contents["1000"]["a"] == b"SCAN" + b"scan" * 999


def test_what_takes_no_room_needs_none(linking, source):
    """A disk without room for a second copy is why a file is taken without one."""
    rig = linking
    rig.stop()
    rig.settings = DropSettings(min_free=Size(1 << 60))
    rig.start()
    take(rig, source, "scan.raw")
    with pytest.raises(NoSpace, match="min_free"):
        rig.put("run/other", b"x")
    with pytest.raises(NoSpace, match="min_free"):
        rig.at("run").lookup("scan.raw").set_mode(0o600)
    assert os.path.samefile(rig.spooled() / "scan.raw", source)


def test_what_takes_no_room_counts_for_the_limit(linking, source):
    rig = linking
    rig.stop()
    rig.settings = DropSettings(min_free=Size(0), limit=Size(5000))
    rig.start()
    take(rig, source, "a")
    with pytest.raises(NoSpace, match="limit"):
        take(rig, source, "b")


def test_shared_blocks_come_first(rig, source, monkeypatch):
    """Where the disk can clone, nothing is linked, so the source may be writable."""

    def clone(self, fd, other):
        os.write(fd, os.pread(other, 10**6, 0))

    monkeypatch.setattr("pacifica_fs.drop.disk.Disk.clone", clone)
    rig.mkdir("run")
    source.chmod(0o644)
    os.utime(source, ns=(0, 10**18))
    take(rig, source, "scan.raw")
    there = rig.spooled() / "scan.raw"
    assert there.read_bytes() == b"scan" * 1000 and there.stat().st_nlink == 1
    assert there.stat().st_mtime_ns == 10**18 and there.stat().st_mode & 0o7777 == 0o644
