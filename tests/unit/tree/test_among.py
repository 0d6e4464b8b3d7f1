"""The orders in which programs go through the files of a container."""

from pacifica_fs.model import UNKNOWN, FileRef
from pacifica_fs.tree import among
from pacifica_fs.tree.among import Among
from pacifica_fs.tree.nodes import inode


def ref(name, size=1):
    return FileRef("emsl", "67", name, tuple(name.split("/")), size, 0)


LEVEL = {
    "z.txt": ref("z.txt"),
    "sub": {"y": ref("sub/y"), "x": ref("sub/x")},
    "empty": ref("empty", 0),
    "dump.csv": ref("dump.csv", UNKNOWN),
    "a.txt": ref("a.txt"),
}


def test_as_listed_by_name_and_by_inode_number():
    found = [[one.id for one in order] for order in Among(LEVEL, "emsl", "67").orders()]
    assert found[0] == ["z.txt", "sub/y", "sub/x", "a.txt"]
    assert ["a.txt", "sub/x", "sub/y", "z.txt"] in found
    flat = {name: ref(name) for name in map(str, range(50))}
    by_inode = sorted(flat, key=lambda name: inode("emsl", "67", "file", name))
    assert by_inode in [[one.id for one in order] for order in Among(flat, "emsl", "67").orders()]


def test_equal_orders_are_one():
    assert len(Among({"a": ref("a"), "b": {"c": ref("b/c")}}, "emsl", "67").orders()) in (1, 2)
    assert len(Among({"a": ref("a")}, "emsl", "67").orders()) == 1


def test_too_many_files_have_none(monkeypatch):
    monkeypatch.setattr(among, "MOST", 3)
    assert Among(LEVEL, "emsl", "67").orders() == ()
