"""The `local` archive beyond the contract that every kind keeps."""

import json
import multiprocessing
import os
import threading
from pathlib import Path

import pytest

from pacifica_fs.archive import Effects
from pacifica_fs.archives.local.archive import build
from pacifica_fs.clock import SystemClock
from pacifica_fs.config import ArchiveSettings
from pacifica_fs.errors import BadAnswer, ConfigError, Corrupt, NotFound, Unreachable
from pacifica_fs.model import Bundle, BundleFile, Digest, Metadata


def make(root: Path):
    settings = ArchiveSettings("here", "local", options={"path": str(root)}, source="test")
    return build(settings, Effects(clock=SystemClock(), state=root.parent, cache=root.parent))


def bundle(folder: Path, id: str = "b1", **files: bytes) -> Bundle:
    made = []
    for name, data in files.items():
        path = folder / f"{id}-{name}"
        path.write_bytes(data)
        hasher = Digest("sha1", "").hasher()
        hasher.update(data)
        made.append(BundleFile(f"d/{name}", len(data), 10**18, Digest("sha1", hasher.hexdigest()), path))
    return Bundle(
        id, "here", "run1", tuple(made), Metadata({"project": "1234a"}, (("Tag", "first"), ("Tag", "second")))
    )


def nothing(*_):
    pass


@pytest.fixture
def root(tmp_path):
    return tmp_path / "archive"


def test_the_folder_is_readable_without_this_program(root, tmp_path):
    built = make(root)
    built.inbox.send(bundle(tmp_path, a=b"hello"), nothing, nothing)
    assert (root / "transactions/1/files/d/a").read_bytes() == b"hello"
    assert (root / "transactions/1/files/d/a").stat().st_mode & 0o777 == 0o444
    record = json.loads((root / "transactions/1/transaction.json").read_text())
    assert record["project"] == "1234a" and record["keys"] == [["Tag", "first"], ["Tag", "second"]]
    assert record["files"][0]["path"] == "d/a" and record["files"][0]["digest"].startswith("sha1:")


def test_a_bundle_sent_twice_is_one_transaction(root, tmp_path):
    built = make(root)
    one = built.inbox.send(bundle(tmp_path, a=b"hello"), nothing, nothing)
    two = built.inbox.send(bundle(tmp_path, a=b"hello"), nothing, nothing)
    assert one == two and len(built.archive.containers({}, 10).entries) == 1


def test_a_break_before_publishing_leaves_nothing(root, tmp_path):
    built = make(root)

    def broken():
        raise Unreachable("cut")

    with pytest.raises(Unreachable):
        built.inbox.send(bundle(tmp_path, a=b"hello"), nothing, broken)
    assert built.archive.containers({}, 10).entries == ()
    assert list((root / "incoming").iterdir()) == []
    assert built.inbox.find(bundle(tmp_path, a=b"hello")) == []


def test_content_that_changed_is_refused(root, tmp_path):
    built, sent = make(root), bundle(tmp_path, a=b"hello")
    sent.files[0].source.write_bytes(b"hullo")
    with pytest.raises(Corrupt):
        built.inbox.send(sent, nothing, nothing)
    assert built.archive.containers({}, 10).entries == ()


def test_a_pointer_to_nothing_is_nothing(root, tmp_path):
    built = make(root)
    (root / "bundles/b1").write_text("7\n")
    assert built.inbox.find(bundle(tmp_path)) == []
    assert built.inbox.send(bundle(tmp_path), nothing, nothing).job == "1"


def publish_some(root: str, folder: str, first: int) -> None:
    built = make(Path(root))
    for number in range(first, first + 5):
        built.inbox.send(bundle(Path(folder), f"b{number}", a=b"%d" % number), nothing, nothing)
        built.inbox.send(bundle(Path(folder), "shared", a=b"same"), nothing, nothing)


def test_several_processes_publish_at_once(root, tmp_path):
    make(root)
    context = multiprocessing.get_context("spawn")
    workers = []
    for number in range(3):
        folder = tmp_path / f"p{number}"
        folder.mkdir()
        workers.append(context.Process(target=publish_some, args=(str(root), str(folder), number * 100)))
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    listing = make(root).archive.containers({}, 100)
    assert len(listing.entries) == 16, "15 different bundles and one that all three sent"
    assert [int(c.id) for c in listing.entries] == list(range(16, 0, -1))


def test_ids_are_never_used_again(root, tmp_path):
    built = make(root)
    built.inbox.send(bundle(tmp_path, "b1"), nothing, nothing)
    (root / "transactions/1").rename(tmp_path / "removed")
    assert built.inbox.send(bundle(tmp_path, "b2"), nothing, nothing).job == "2"


def test_a_folder_that_is_not_an_archive_is_refused_with_words(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.txt").write_text("x")
    with pytest.raises(ConfigError, match="not empty"):
        make(tmp_path / "full")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError):
        make(tmp_path / "file")
    old = tmp_path / "old"
    make(old)
    (old / "format").write_text("99\n")
    with pytest.raises(ConfigError, match="99"):
        make(old)


def test_links_out_of_the_archive_are_not_followed(root, tmp_path):
    built = make(root)
    built.inbox.send(bundle(tmp_path, a=b"hello"), nothing, nothing)
    secret = tmp_path / "secret"
    secret.write_bytes(b"other")
    stored = root / "transactions/1/files/d/a"
    stored.unlink()
    stored.symlink_to(secret)
    [file] = built.archive.files("1")
    with pytest.raises(BadAnswer):
        list(built.archive.open([file]))
    folder = root / "transactions/1/files/d"
    stored.unlink()
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a").write_bytes(b"other")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadAnswer):
        list(built.archive.open([file]))


def test_an_unmounted_disk_is_an_outage(root, tmp_path):
    """An outage is never ENOENT, and never an empty directory that looks real."""
    built = make(root)
    built.inbox.send(bundle(tmp_path, a=b"hello"), nothing, nothing)
    os.rename(root, tmp_path / "away")
    for ask in (
        lambda: built.archive.containers({}, 10),
        lambda: built.archive.container("1"),
        lambda: built.archive.files("1"),
        lambda: built.inbox.find(bundle(tmp_path, "b9")),
    ):
        with pytest.raises(Unreachable):
            ask()
    assert not built.archive.probe().reachable


def test_ids_that_cannot_be(root):
    archive = make(root).archive
    for id in ("", "0", "01", "-1", "..", "../1", "1/2", "x", "٣", "9" * 30):
        with pytest.raises(NotFound):
            archive.container(id)


def test_one_process_many_threads(root, tmp_path):
    built = make(root)
    threads = [
        threading.Thread(target=built.inbox.send, args=(bundle(tmp_path, f"b{n}", a=b"x"), nothing, nothing))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(built.archive.containers({}, 100).entries) == 8
