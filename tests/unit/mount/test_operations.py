"""What each operation means, on toy nodes; no FUSE."""

import os
import stat
from collections import Counter

import pytest

from pacifica_fs.errors import (
    Denied,
    Exists,
    Invalid,
    IsADirectory,
    NoAttribute,
    NotADirectory,
    NotFound,
    NotPermitted,
    ReadOnly,
    Unreachable,
    Unsupported,
)
from pacifica_fs.mount.operations import CONTROL, Look, Operations
from pacifica_fs.tree.virtual import ListedFolder

from .toys import ToyContent, ToyFile, tree


@pytest.fixture
def toy():
    root, drop = tree()
    content = ToyContent()
    operations = Operations(root, content, Look(1000, 100, 0o640, 0o750), requests=Counter(), spare=lambda: (8, 4))
    return operations, content, drop


def test_names(toy):
    operations, _, drop = toy
    assert operations.resolve("/") is operations.resolve("/")
    assert operations.resolve("/drop/site") is drop
    assert operations.resolve("/site/7/file").ref.id == "1"
    with pytest.raises(NotFound):
        operations.resolve("/site/8")
    with pytest.raises(NotFound):
        operations.resolve("/nowhere/8")
    with pytest.raises(NotADirectory):
        operations.resolve("/site/7/file/x")


def test_what_changes_by_itself_is_not_remembered_and_an_outage_is_not_either():
    looks = Counter()
    outage = [True]

    def site():
        looks["site"] += 1
        if outage:
            raise Unreachable("down")
        return [("x", ListedFolder(("x",), lambda: []))]

    def status():
        looks["status"] += 1
        return [("y", ListedFolder(("y",), lambda: []))]

    top = [("site", ListedFolder(("s",), site)), ("status", ListedFolder(("t",), status))]
    operations = Operations(ListedFolder(("/",), lambda: top), ToyContent(), Look(0, 0))
    for _ in range(2):
        with pytest.raises(Unreachable):
            operations.resolve("/site/x/z")
    outage.clear()
    for _ in range(3):
        for name in ("site/x", "status/y"):
            with pytest.raises(NotFound):
                operations.resolve(f"/{name}/z")
    assert looks == {"site": 3, "status": 3}


def test_stat(toy):
    operations, _, _ = toy
    shown = operations.stat(operations.resolve("/site/7/file"))
    assert (shown.mode, shown.size, shown.mtime_ns) == (stat.S_IFREG | 0o640, 7, 123)
    assert operations.stat(operations.resolve("/site/7")).mode == stat.S_IFDIR | 0o750
    assert operations.stat(operations.resolve("/site/link")).mode == stat.S_IFLNK | 0o777
    assert operations.stat(operations.resolve("/drop/site")).mode == stat.S_IFDIR | 0o700
    assert operations.stat(operations.resolve("/site/7/resized")).size == 4711
    assert operations.stat(operations.resolve("/")).mtime_ns > 10**18  # what has no time is as old as the mount


def test_links_and_folders(toy):
    operations, _, _ = toy
    assert operations.readlink(operations.resolve("/site/link")) == "7/file"
    with pytest.raises(Invalid):
        operations.readlink(operations.resolve("/site"))
    assert [name for name, _ in operations.entries(operations.resolve("/site"))] == ["7", "link"]
    with pytest.raises(NotADirectory):
        operations.entries(operations.resolve("/site/7/file"))


@pytest.mark.parametrize(
    ("caching", "direct", "keep"), [("KEEP", False, True), ("FRESH", False, False), ("DIRECT", True, False)]
)
def test_opening_content(toy, caching, direct, keep):
    operations, content, _ = toy
    content.caching = caching
    number = operations.open("/site/7/file", os.O_RDONLY)
    file = operations.opened(number)
    ((id, path, reading),) = content.opened
    assert (id, path, file.direct, file.keep) == ("1", "/site/7/file", direct, keep)
    operations.flush(number)
    operations.release(number)
    assert reading.closed
    with pytest.raises(Invalid):
        operations.opened(number)
    operations.release(number)  # a second one does nothing


def test_a_computed_file_is_one_snapshot_for_each_open(toy):
    operations, _, _ = toy
    number = operations.open("/status/now", os.O_RDONLY)
    file = operations.opened(number)
    assert file.direct and not file.keep
    whole = "now é".encode()
    assert operations.read_snapshot(file, 100, 0) == whole
    assert operations.read_snapshot(file, 2, 1) == whole[1:3]
    assert operations.read_snapshot(file, 2, 100) == b""


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR, os.O_TRUNC, os.O_APPEND])
def test_nothing_outside_the_drop_is_opened_for_writing(toy, flags):
    operations, content, _ = toy
    for path in ("/site/7/file", "/status/now"):
        with pytest.raises(ReadOnly):
            operations.open(path, flags)
    assert not content.opened
    with pytest.raises(IsADirectory):
        operations.open("/site/7", flags)
    with pytest.raises(Invalid):
        operations.open("/site/link", os.O_RDONLY)


def test_writing(toy):
    operations, _, drop = toy
    number = operations.create("/drop/site/new", os.O_WRONLY | os.O_CREAT, 0o644)
    assert operations.write(number, memoryview(b"abc"), 0) == 3
    operations.fsync(number)
    operations.flush(number)
    operations.truncate(None, 2, number)
    operations.release(number)
    node = drop.children["new"]
    assert bytes(node.data) == b"abc"
    assert node.calls == ["fsync", "flush", ("truncate", 2), "release"]
    with pytest.raises(Denied):
        operations.open("/drop/site/new", os.O_RDONLY)
    number = operations.open("/drop/site/new", os.O_RDWR)
    assert operations.read_snapshot(operations.opened(number), 2, 1) == b"bc"
    reader = operations.open("/site/7/file", os.O_RDONLY)
    with pytest.raises(Denied):
        operations.write(reader, memoryview(b"x"), 0)
    with pytest.raises(Exists):
        operations.create("/drop/site/new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)


def test_a_write_open_of_a_name_that_just_went_away_makes_it(toy):
    operations, _, drop = toy
    operations.open("/drop/site/.commit", os.O_WRONLY)
    assert ".commit" in drop.children
    with pytest.raises(NotFound):
        operations.open("/drop/site/other", os.O_RDONLY)
    with pytest.raises(ReadOnly):
        operations.open("/site/other", os.O_WRONLY)


def test_changing_names(toy):
    operations, _, drop = toy
    operations.mkdir("/drop/site/run", 0o755)
    operations.create("/drop/site/a", os.O_WRONLY, 0o644)
    operations.rename("/drop/site/a", "/drop/site/run/b")
    operations.create("/drop/site/a", os.O_WRONLY, 0o644)
    with pytest.raises(Exists):
        operations.rename("/drop/site/a", "/drop/site/run/b", keep_existing=True)
    operations.rename("/drop/site/a", "/drop/site/run/c", keep_existing=True)
    assert set(drop.children["run"].children) == {"b", "c"}
    operations.unlink("/drop/site/run/b")
    operations.rmdir("/drop/site/run")
    assert not drop.children


def test_every_change_elsewhere_is_refused(toy):
    operations, _, _ = toy
    for work in (
        lambda: operations.create("/site/x", os.O_WRONLY, 0o644),
        lambda: operations.create("/x", os.O_WRONLY, 0o644),
        lambda: operations.mkdir("/site/7/x", 0o755),
        lambda: operations.mkdir("/drop/x", 0o755),
        lambda: operations.unlink("/site/7/file"),
        lambda: operations.rmdir("/site/7"),
        lambda: operations.rename("/site/7/file", "/site/7/x"),
        lambda: operations.rename("/site/7/file", "/drop/site/x"),
        lambda: operations.refuse_special("/site/x"),
        lambda: operations.truncate("/site/7/file", 0, None),
        lambda: operations.set_times("/site/7/file", 1),
        lambda: operations.set_times("/site/7/file", None),
        lambda: operations.set_mode("/site/7/file", 0o644),
        lambda: operations.set_owner("/site/7/file"),
        lambda: operations.refuse_xattr("/site/7/file"),
    ):
        with pytest.raises(ReadOnly):
            work()


def test_what_the_drop_refuses(toy):
    operations, _, _ = toy
    operations.create("/drop/site/a", os.O_WRONLY, 0o644)
    with pytest.raises(NotPermitted):
        operations.refuse_special("/drop/site/link")
    with pytest.raises(Unsupported):
        operations.refuse_xattr("/drop/site/a")
    operations.create("/drop/site/b", os.O_WRONLY, 0o644)
    with pytest.raises(ReadOnly):
        operations.rename("/drop/site/b", "/site/b")


def test_attributes_of_what_is_written(toy):
    operations, _, drop = toy
    number = operations.create("/drop/site/a", os.O_WRONLY, 0o644)
    operations.set_times("/drop/site/a", 99)
    operations.set_times("/drop/site/a", None)
    operations.set_times(None, 100, number)
    operations.set_mode("/drop/site/a", 0o100755)
    operations.set_owner("/drop/site/a")
    operations.truncate("/drop/site/a", 0, None)
    assert drop.children["a"].calls == [("times", 99), ("times", 100), ("mode", 0o755), ("truncate", 0)]
    operations.set_mode("/drop/site", 0o700)
    assert drop.calls == [("mode", 0o700)]
    with pytest.raises(NotFound):
        operations.set_times(None, 1, 4711)


def test_extended_attributes(toy):
    operations, _, _ = toy
    file = operations.resolve("/site/7/file")
    assert operations.xattr(file, "user.pacifica.state") == b"remote"
    assert operations.xattr(file, "user.pacifica.id") == b"1"
    assert set(operations.xattrs(file)) >= {"user.pacifica.state", "user.pacifica.digest"}
    for name in ("user.other", "security.capability"):
        with pytest.raises(NoAttribute):
            operations.xattr(file, name)
    folder = operations.resolve("/site")
    assert "user.pacifica.state" not in operations.xattrs(folder)
    with pytest.raises(NoAttribute):
        operations.xattr(folder, "user.pacifica.state")


def test_space(toy):
    operations, _, _ = toy
    assert operations.space("/") == operations.space("/site/7") == (8, 4)
    assert operations.space("/drop/site") == operations.space("/drop/site/not/there") == (1000, 10)


class Deferred(ToyFile):
    known = False

    def attributes(self):
        raise Unreachable("a server would be asked")


def test_a_listing_asks_no_server(toy):
    operations, _, _ = toy
    shown, known = operations.listed(Deferred("document"))
    assert not known and stat.S_ISREG(shown.mode) and shown.ino
    assert operations.listed(operations.resolve("/site/7/file"))[1]


def test_how_much_room_there_is_asks_no_server(toy, monkeypatch):
    operations, _, _ = toy
    site = operations.resolve("/site")
    monkeypatch.setattr(type(site), "lookup", lambda *_: pytest.fail("looked up"), raising=True)
    monkeypatch.setattr(operations, "_root", site)
    assert operations.space("/site/7/file") == (8, 4)


def test_what_a_user_asks_of_a_file_goes_to_the_content_store_with_whether_he_may():
    root, _ = tree()
    content, uid = ToyContent(), [os.getuid()]
    operations = Operations(root, content, Look(1000, 100), caller=lambda: uid[0])
    operations.set_xattr("/site/7/file", CONTROL, b"evict")
    uid[0] = 54321
    operations.set_xattr("/site/7/file", CONTROL, b"evict")
    assert content.requested == [("1", b"evict", True), ("1", b"evict", False)]
    with pytest.raises(Invalid):
        operations.set_xattr("/site/7/file", CONTROL, b"nonsense")
    with pytest.raises(ReadOnly):
        operations.set_xattr("/site/7/file", "user.other", b"x")
    with pytest.raises(ReadOnly):
        operations.set_xattr("/site", CONTROL, b"evict")
