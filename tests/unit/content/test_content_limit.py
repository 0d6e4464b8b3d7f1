"""The limit holds while the store fills; the least recently used goes first, never what is open.

A full disk is an error.
"""

import errno
import os
from pathlib import Path

import pytest

from pacifica_fs.archive import Capabilities
from pacifica_fs.content import files
from pacifica_fs.content.evict import Candidate, choose
from pacifica_fs.errors import NoSpace
from tests.unit.content.content_fakes import MIB, FakeArchive, Stream, pattern, read_all, settle, until


def on_disk(root: Path) -> int:
    """Bytes that the store takes: allocated or not."""
    total = 0
    for path in root.rglob("*"):
        try:
            if path.is_file() and path.name not in ("lock", "format", "reserved"):
                total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def test_choice():
    """Evict first, least recently used, never what is open or pinned."""
    candidates = [Candidate("c", 10, 3), Candidate("a", 10, 1), Candidate("b", 10, 2), Candidate("d", 10, 4)]
    assert [one.name for one in choose(candidates, 15)] == ["a", "b"]
    assert [one.name for one in choose(candidates, 15, {"a"})] == ["b", "c"]
    assert [one.name for one in choose(candidates, 1000, {"d"})] == ["a", "b", "c"]
    assert choose(candidates, 0) == choose(candidates, -5) == choose([], 10) == []


def test_the_limit_holds_while_filling(make, archive, tmp_path, monkeypatch):
    """The cache keeps below its limit *while* it fills."""
    limit = 8 * MIB
    content = make(limit=limit)
    archive.chunk = 100_000
    sizes = []
    write = files.write

    def watched(fd, data, offset):
        write(fd, data, offset)
        sizes.append(on_disk(tmp_path / "content"))

    monkeypatch.setattr(files, "write", watched)
    for n in range(12):
        ref = archive.add(pattern(2 * MIB, n))
        assert read_all(content, ref, f"/{n}") == archive.contents[ref.id]
        settle(content)
    assert 6 * MIB < max(sizes) <= limit
    assert content.usage()["evicted"] >= 8
    assert content.usage()["size"] <= limit


def test_least_recently_used_goes_first(make, archive, clock):
    content = make(limit=9 * MIB)
    refs = [archive.add(pattern(2 * MIB, n)) for n in range(4)]
    for ref in refs:
        read_all(content, ref)
        settle(content)
        clock.advance(100)
    read_all(content, refs[0])
    clock.advance(100)
    read_all(content, archive.add(pattern(2 * MIB, 10)))
    settle(content)
    assert [content.state(ref) for ref in refs] == ["cached", "remote", "cached", "cached"]


def test_the_last_use_survives_a_restart(make, archive, clock):
    refs = [archive.add(pattern(2 * MIB, n)) for n in range(4)]
    content = make(limit=9 * MIB)
    for ref in (*refs, refs[0]):
        read_all(content, ref)
        settle(content)
        clock.advance(100)
    content.close()
    content = make(limit=9 * MIB)
    read_all(content, archive.add(pattern(2 * MIB, 10)))
    settle(content)
    assert [content.state(ref) for ref in refs] == ["cached", "remote", "cached", "cached"]


def test_what_is_open_is_never_evicted(make, archive, clock):
    """Never what is open or pinned."""
    content = make(limit=6 * MIB)
    refs = [archive.add(pattern(2 * MIB, n)) for n in range(6)]
    read_all(content, refs[0])
    settle(content)
    reader = content.open(refs[0], "/open")
    assert content.usage()["open"] == 1
    assert content.evict(refs[0]) is False
    for ref in refs[1:]:
        clock.advance(100)
        read_all(content, ref)
        settle(content)
    assert content.state(refs[0]) == "cached"
    assert os.fstat(reader.fd).st_nlink == 1
    assert reader.read(2 * MIB, 0) == pattern(2 * MIB, 0)
    reader.close()


def test_a_file_larger_than_the_limit_is_readable_and_released_after_the_last_close(make, archive, tmp_path):
    content = make(limit=2 * MIB)
    small = archive.add(pattern(MIB, 1))
    read_all(content, small)
    settle(content)
    ref = archive.add(pattern(5 * MIB, 2))
    assert read_all(content, ref) == pattern(5 * MIB, 2)
    settle(content)
    until(lambda: content.usage()["size"] == 0)
    assert on_disk(tmp_path / "content") == 0
    assert content.state(ref) == "remote"


def test_partial_blobs_that_nobody_has_open_are_evicted(make, archive, clock):
    content = make(limit=8 * MIB)
    ref = archive.add(pattern(5 * MIB, 1))
    stream = Stream().data(pattern(5 * MIB, 1), 0, 2 * MIB)
    archive.script = [stream]
    reader = content.open(ref, "/a")
    reader.read(10, 0)
    reader.close()
    clock.advance(6)
    assert stream.closed.wait(10)
    settle(content)
    assert (content.state(ref), content.usage()["partial"]) == ("partial", 2 * MIB)
    for n in range(4):
        clock.advance(10)
        read_all(content, archive.add(pattern(2 * MIB, 10 + n)))
        settle(content)
    assert (content.state(ref), content.usage()["partial"]) == ("remote", 0)


def test_background_fetches_do_not_exceed_the_limit(make, clock):
    archive = FakeArchive(capabilities=Capabilities(instant=False))
    content = make(archives={"emsl": archive}, limit=2 * MIB)
    ref = archive.add(pattern(5 * MIB))
    stream = Stream()
    archive.script = [stream]
    content.open(ref, "/a").close()
    stream.data(pattern(5 * MIB), 0, 5 * MIB)
    until(lambda: [one["state"] for one in content.downloads()] == ["failed"])
    assert "limit" in content.downloads()[0]["error"]
    assert content.usage()["partial"] == 0


def test_evict(content, archive):
    ref = archive.add(pattern(1000))
    assert content.evict(ref) is False
    read_all(content, ref)
    settle(content)
    assert content.evict(ref) is True
    assert (content.state(ref), content.usage()["files"]) == ("remote", 0)
    assert read_all(content, ref) == pattern(1000)


class SmallDisk:
    """A disk of `size` bytes: writes beyond it fail as the system's do."""

    def __init__(self, root: Path, size: int) -> None:
        self.root, self.size = root, size
        self._write = files.write

    def __call__(self, fd, data, offset):
        if on_disk(self.root) + len(data) > self.size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._write(fd, data, offset)


def test_a_full_disk_evicts_and_goes_on(make, archive, tmp_path, monkeypatch):
    content = make(limit=100 * MIB)
    monkeypatch.setattr(files, "write", SmallDisk(tmp_path / "content", 4 * MIB))
    for n in range(4):
        assert read_all(content, archive.add(pattern(2 * MIB, n))) == pattern(2 * MIB, n)
        settle(content)
    assert content.usage()["evicted"] >= 2


def test_a_full_disk_that_cannot_be_helped_is_an_error_and_nothing_else_breaks(make, archive, tmp_path, monkeypatch):
    """A full disk: the read gets an error, and nothing else breaks."""
    content = make(limit=100 * MIB)
    kept = archive.add(pattern(MIB, 1))
    read_all(content, kept)
    settle(content)
    open_one = content.open(kept, "/kept")
    monkeypatch.setattr(files, "write", SmallDisk(tmp_path / "content", 4 * MIB))
    with pytest.raises(NoSpace) as caught:
        read_all(content, archive.add(pattern(6 * MIB, 2)))
    assert caught.value.errno == errno.ENOSPC
    assert open_one.read(MIB, 0) == pattern(MIB, 1)
    until(lambda: content.usage()["partial"] == 0)
    assert read_all(content, archive.add(pattern(MIB, 3))) == pattern(MIB, 3)
    open_one.close()


def test_another_error_of_the_disk_is_an_error(content, archive, monkeypatch):
    def broken(fd, data, offset):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(files, "write", broken)
    with pytest.raises(Exception, match="cache cannot be written"):
        read_all(content, archive.add(b"abc"))
