"""Blobs on disk: restart, formats, several processes, adoption."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pacifica_fs.archive import ANONYMOUS
from pacifica_fs.content.content import Caching
from pacifica_fs.errors import ConfigError
from tests.unit.content.content_fakes import MIB, Background, FakeArchive, Stream, pattern, read_all, settle, until


def test_restart(make, archive):
    """The cache survives restarts."""
    content = make()
    refs = [archive.add(pattern(5000, n), algorithm=algorithm) for n, algorithm in enumerate(["sha1", "sha256", ""])]
    for ref in refs:
        read_all(content, ref)
    settle(content)
    content.close()
    again = make()
    until(lambda: again.usage()["files"] == 3)
    assert again.usage()["size"] == 15_000
    for ref in refs:
        assert again.state(ref) in ("cached", "unverified")
        assert read_all(again, ref) == archive.contents[ref.id]
    assert len(archive.opens) == 3


def test_layout(make, archive, tmp_path):
    content = make()
    ref = archive.add(b"abc", algorithm="sha256")
    read_all(content, ref)
    settle(content)
    root = tmp_path / "content"
    assert (root / "format").read_text() == "pacifica-fs content 1\n"
    assert [file.name.partition("-")[0] for file in root.glob("complete/*/*")] == ["sha256_own"]
    archive.identity = ANONYMOUS
    read_all(content, ref)
    settle(content)
    assert (root / "complete" / ref.digest.value[:2] / f"sha256-{ref.digest.value}.3").read_bytes() == b"abc"
    (own,) = (root / "partial").iterdir()
    assert own.name.startswith(f"{os.getpid()}-")
    content.close()
    assert list((root / "partial").iterdir()) == []


def test_another_format_is_started_afresh(make, archive, tmp_path):
    """Never misread: a store of another format is started afresh."""
    root = tmp_path / "content"
    content = make()
    ref = archive.add(b"abc")
    read_all(content, ref)
    settle(content)
    content.close()
    (root / "format").write_text("pacifica-fs content 99\n")
    again = make()
    assert again.state(ref) == "remote"
    assert read_all(again, ref) == b"abc"
    assert len(archive.opens) == 2
    assert (root / "format").read_text() == "pacifica-fs content 1\n"


def test_a_folder_of_somebody_else_is_refused(make, tmp_path):
    (tmp_path / "mine" / "complete").mkdir(parents=True)
    (tmp_path / "mine" / "complete" / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError):
        make(root=tmp_path / "mine")
    (tmp_path / "mine" / "format").write_text("A4\n")
    with pytest.raises(ConfigError):
        make(root=tmp_path / "mine")
    assert (tmp_path / "mine" / "complete" / "thesis.tex").read_text() == "years of work"


def test_a_root_that_cannot_be_used_is_an_error_of_the_configuration(make, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be used"):
        make(root=tmp_path / "file" / "content")


def test_partial_files_of_dead_processes_are_removed_at_start(make, tmp_path, archive):
    """Partial blobs belong to their process."""
    first = make()
    archive.script = [Stream().data(b"abc", 0, 2)]
    reader = first.open(archive.add(b"abc"), "/a")
    late = Background(lambda: reader.read(3, 0))
    until(lambda: first.downloads() and first.downloads()[0]["bytes"] == 2)
    partial = tmp_path / "content" / "partial"
    dead = partial / "1-1-dead"
    dead.mkdir()
    (dead / "1").write_bytes(b"left")
    (dead / "lock").write_bytes(b"")
    make()
    until(lambda: not dead.exists())
    assert len([path for path in partial.iterdir() if (path / "1").exists()]) == 1, "what lives stays"
    first.close()
    until(lambda: late.done)


def test_two_stores_share_complete_blobs(make, archive):
    """Several mounts of a user share complete blobs (atomic rename; eviction under one lock)."""
    one, two = make(), make()
    ref = archive.add(pattern(MIB))
    assert read_all(one, ref) == pattern(MIB)
    settle(one)
    assert two.state(ref) == "cached"
    assert read_all(two, ref) == pattern(MIB)
    assert len(archive.opens) == 1


def test_two_stores_keep_one_limit(make, archive, clock):
    limit = 8 * MIB
    stores = [make(limit=limit), make(limit=limit)]
    for n in range(12):
        ref = archive.add(pattern(MIB, n))
        assert read_all(stores[n % 2], ref) == pattern(MIB, n)
        settle(stores[n % 2])
        clock.advance(10)
    root = stores[0]._store._root
    assert sum(path.stat().st_size for path in (root / "complete").rglob("*.*") if path.is_file()) <= limit


def test_what_another_process_used_last_is_spared(make, archive, clock):
    one, two = make(limit=9 * MIB), make(limit=9 * MIB)
    refs = [archive.add(pattern(2 * MIB, n)) for n in range(4)]
    for ref in refs:
        read_all(one, ref)
        settle(one)
        clock.advance(100)
    read_all(two, refs[0])
    clock.advance(100)
    read_all(one, archive.add(pattern(2 * MIB, 10)))
    settle(one)
    assert [one.state(ref) for ref in refs] == ["cached", "remote", "cached", "cached"]


def test_a_reader_outlives_the_eviction_by_another_process(make, archive):
    one, two = make(), make()
    ref = archive.add(pattern(MIB))
    read_all(one, ref)
    settle(one)
    reader = one.open(ref, "/a")
    assert two.evict(ref)
    assert reader.read(MIB, 0) == pattern(MIB)
    reader.close()
    assert one.state(ref) == "remote"


def test_a_fetch_that_another_process_finished_first_asks_no_server(make, archive):
    one, two = make(), make()
    ref = archive.add(pattern(1000))
    reader = one.open(ref, "/a")
    read_all(two, ref)
    settle(two)
    assert reader.read(1000, 0) == pattern(1000)
    assert len(archive.opens) == 1
    reader.close()


OTHER = """
import sys, threading
sys.path.insert(0, sys.argv[2])
from tests.unit.content.content_fakes import FakeArchive, pattern, read_all, settle
from pacifica_fs.clock import SystemClock
from pacifica_fs.content.content import Content, ReadPolicy
from pathlib import Path

archive = FakeArchive()
content = Content(Path(sys.argv[1]), 8 * 2**20, {"emsl": archive}, {"emsl": ReadPolicy()}, SystemClock())
content.start()
ref = archive.add(pattern(1000, 99))
for n in range(40):
    shared = archive.add(pattern(2**20, n % 10), id=f"s{n % 10}")
    assert read_all(content, shared) == pattern(2**20, n % 10)
assert read_all(content, ref) == pattern(1000, 99)
settle(content)
print(len(archive.opens), flush=True)
if sys.argv[3] == "die":
    import os
    from content_fakes import Stream
    archive.script = [Stream().data(pattern(1000), 0, 500)]
    reader = content.open(archive.add(pattern(1000, 100)), "/x")
    threading.Thread(target=lambda: reader.read(10, 600), daemon=True).start()
    while not content.usage()["partial"]:
        pass
    os._exit(0)
content.close()
"""


def test_a_second_process(make, archive, tmp_path):
    """Several mounts of a user share complete blobs; partial ones belong to their process."""
    here = str(Path(__file__).parent)
    root = tmp_path / "content"
    command = [sys.executable, "-c", OTHER, str(root), here]
    others = [
        subprocess.Popen([*command, how], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for how in ("live", "die")
    ]
    try:
        for other in others:
            out, err = other.communicate(timeout=60)
            assert other.returncode == 0, err
            assert int(out) >= 1
    finally:
        for other in others:
            other.kill()
    assert len(list((root / "partial").iterdir())) == 1, "the one that died left something"
    content = make(limit=8 * MIB)
    ref = archive.add(pattern(1000, 99))
    assert content.state(ref) == "cached"
    assert read_all(content, ref) == pattern(1000, 99)
    assert archive.opens == []
    content.open(archive.add(b"abc"), "/b").close()
    until(lambda: len(list((root / "partial").iterdir())) == 1)
    assert content.usage()["size"] <= 8 * MIB


@pytest.mark.parametrize("way", ["link", "copy"])
def test_adopt(content, archive, tmp_path, monkeypatch, way):
    """Once done, the spool's bytes become the cache's blobs: reading back what was just uploaded touches no network."""
    data = pattern(MIB)
    ref = archive.add(data)
    source = tmp_path / "spooled"
    source.write_bytes(data)
    if way == "copy":

        def refused(*_):
            raise OSError(18, "Invalid cross-device link")

        monkeypatch.setattr(os, "link", refused)
    assert content.adopt(ref, source) is True
    assert source.read_bytes() == data
    assert content.adopt(ref, source) is True
    source.unlink()
    assert content.state(ref) == "cached"
    assert read_all(content, ref) == data
    assert archive.opens == []
    assert content.usage()["partial"] == 0
    assert content.usage()["size"] == MIB


def test_adopt_refuses(make, archive, tmp_path):
    content = make(limit=1000)
    source = tmp_path / "spooled"
    source.write_bytes(pattern(2000))
    assert content.adopt(archive.add(pattern(2001)), source) is False, "another size"
    assert content.adopt(archive.add(pattern(2000)), source) is False, "larger than the limit"
    assert content.adopt(archive.add(pattern(2000)), tmp_path / "nothing") is False
    assert content.adopt(archive.add(b""), source) is True
    assert source.read_bytes() == pattern(2000)
    assert content.usage()["size"] == 0


def test_before_start_nothing_runs(tmp_path, clock):
    """Threads only in `start`: the daemon forks before."""
    import threading

    from pacifica_fs.content.content import Content

    before = threading.active_count()
    archive = FakeArchive()
    ref = archive.add(b"abc")
    content = Content(tmp_path / "c", 1000, {"emsl": archive}, {}, clock)
    reader = content.open(ref, "/a")
    assert threading.active_count() == before
    read = Background(lambda: reader.read(3, 0))
    until(lambda: content.usage()["waiting"])
    assert archive.opens == []
    content.start()
    assert read.result() == b"abc"
    assert reader.caching is Caching.KEEP
    reader.close()
    content.close()
