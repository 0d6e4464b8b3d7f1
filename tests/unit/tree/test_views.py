"""What an archive looks like as folders."""

import json

import pytest

from pacifica_fs.archive import Capabilities
from pacifica_fs.clock import SystemClock
from pacifica_fs.errors import NotFound, Unreachable
from pacifica_fs.model import Container, FileRef, Group, Listing, View
from pacifica_fs.tree.shelf import Shelf
from pacifica_fs.tree.views import ArchiveTree, walk


class Toy:
    """An archive in memory that counts its requests and can be down."""

    name = kind = "toy"
    identity = "me"
    capabilities = Capabilities()
    views = (View("transactions"), View("recent", newest=2), View("projects", ("project",)))

    def __init__(self, number: int = 3) -> None:
        self.number = number
        self.requests: list[tuple] = []
        self.down = False

    def _ask(self, *what):
        self.requests.append(what)
        if self.down:
            raise Unreachable("down")

    def groups(self, dimension, where):
        self._ask("groups", dimension)
        return Listing((Group("p/1", info={"title": "One"}), Group("p2")))

    def containers(self, where, limit):
        self._ask("containers", dict(where), limit)
        ids = range(self.number, 0, -1)
        found = tuple(Container("toy", str(i), i * 10**9, {"n": i}) for i in ids)
        return Listing(found[:limit], len(found) <= limit)

    def container(self, id):
        self._ask("container", id)
        if not id.isdigit() or int(id) > 1000:
            raise NotFound(id)
        return Container("toy", id, 5, {"n": int(id), "full": True})

    def files(self, container):
        self._ask("files", container)
        return [
            FileRef("toy", container, f"{container}-1", ("a", "b.txt"), 4, 7),
            FileRef("toy", container, f"{container}-2", ("c.txt",), 5, 8),
        ]


def tree_of(toy, limit=10, shelf=None):
    return ArchiveTree(toy, 60, limit, SystemClock(), shelf)  # type: ignore[arg-type]


def names(node):
    return [name for name, _ in node.entries()]


def test_listing_the_top_asks_nobody():
    toy = Toy()
    assert names(tree_of(toy).root()) == ["transactions", "recent", "projects"]
    assert toy.requests == []


def test_a_listing_is_one_request_and_its_entries_need_none():
    toy = Toy()
    folder = walk(tree_of(toy).root(), "transactions")
    for _, node in folder.entries():
        node.attributes()
    assert len(toy.requests) == 1
    assert names(folder) == ["3", "3.json", "2", "2.json", "1", "1.json"]
    folder.lookup("2")
    assert len(toy.requests) == 1


def test_any_id_resolves_although_not_listed():
    tree = tree_of(Toy())
    assert names(walk(tree.root(), "transactions", "77")) == ["a", "c.txt"]
    assert json.loads(walk(tree.root(), "transactions", "77.json").render())["full"] is True
    with pytest.raises(NotFound):
        walk(tree.root(), "transactions", "4711")


def test_a_listing_too_long_is_a_readme_never_a_part():
    tree = tree_of(Toy(11))
    folder = walk(tree.root(), "transactions")
    assert names(folder) == ["README.txt"]
    assert b"recent/" in folder.lookup("README.txt").render()
    assert names(walk(tree.root(), "transactions", "11")) == ["a", "c.txt"]
    assert [name for name in names(walk(tree.root(), "recent")) if "." not in name] == ["11", "10"]


def test_one_container_by_two_ways_has_one_inode():
    tree = tree_of(Toy())
    one = walk(tree.root(), "transactions", "2", "a", "b.txt")
    two = walk(tree.root(), "projects", "p2", "2", "a", "b.txt")
    assert one.ino == two.ino
    assert walk(tree.root(), "transactions", "2").ino == walk(tree.root(), "recent", "2").ino


def test_groups_have_safe_names_and_keep_their_raw_value():
    toy = Toy()
    folder = walk(tree_of(toy).root(), "projects")
    shown = names(folder)
    assert len(shown) == 3 and not any("/" in name for name in shown)
    walk(folder, shown[0]).entries()
    assert ("containers", {"project": "p/1"}, 10) in toy.requests


def test_documents_have_their_real_size():
    document = walk(tree_of(Toy()).root(), "transactions", "2.json")
    assert document.attributes().size == len(document.render()) > 0


def test_an_outage_is_never_enoent_and_never_an_empty_listing(tmp_path):
    """An outage is never ENOENT, and never an empty directory that looks real."""
    toy = Toy()
    toy.down = True
    tree = tree_of(toy, shelf=Shelf(tmp_path))
    folder = walk(tree.root(), "transactions")
    for look in (folder.entries, lambda: folder.lookup("5")):
        with pytest.raises(Unreachable):
            look()


def test_offline_after_a_restart_what_was_seen_is_there(tmp_path):
    toy = Toy()
    first = tree_of(toy, shelf=Shelf(tmp_path))
    walk(first.root(), "transactions").entries()
    walk(first.root(), "transactions", "2").entries()
    toy.down = True
    assert names(walk(tree_of(toy, shelf=Shelf(tmp_path)).root(), "transactions", "2", "a")) == ["b.txt"]
    later = tree_of(toy, shelf=Shelf(tmp_path))
    folder = walk(later.root(), "transactions")
    assert "2" in names(folder)
    assert names(walk(folder, "2")) == ["a", "c.txt"]
    with pytest.raises(Unreachable):
        walk(folder, "3").entries()


def test_attributes_of_files():
    file = walk(tree_of(Toy()).root(), "transactions", "2", "c.txt")
    assert (file.attributes().size, file.attributes().mtime_ns) == (5, 8)
    assert file.xattrs()["user.pacifica.id"] == b"2-2"
    assert file.xattrs()["user.pacifica.transaction"] == b"2"


class Terse(Toy):
    """As real archives are: a listing has ids and times only."""

    def containers(self, where, limit):
        found = super().containers(where, limit)
        return Listing(tuple(Container("toy", one.id, one.mtime_ns) for one in found.entries), found.complete)


def test_documents_of_a_terse_listing_say_that_their_size_is_not_known_yet():
    toy = Terse()
    folder = walk(tree_of(toy).root(), "transactions")
    assert [node.known for name, node in folder.entries() if name.endswith(".json")] == [False] * 3
    assert len(toy.requests) == 1
    folder.lookup("2.json").attributes()
    assert [name for name, node in folder.entries() if getattr(node, "known", False)] == ["2.json"]
    assert len(toy.requests) == 2


def test_offline_after_a_restart_a_listing_is_there_whole(tmp_path):
    """Names that are shown can be looked up, though nobody can be asked."""
    toy = Terse()
    walk(tree_of(toy, shelf=Shelf(tmp_path)).root(), "transactions").entries()
    toy.down = True
    folder = walk(tree_of(toy, shelf=Shelf(tmp_path)).root(), "transactions")
    assert names(folder) == ["3", "3.json", "2", "2.json", "1", "1.json"]
    for name in names(folder):
        assert folder.lookup(name).ino
    with pytest.raises(Unreachable):
        folder.lookup("2.json").render()


def test_documents_of_an_archive_on_this_machine_are_not_noted_down(tmp_path):
    """Thousands of small files on the shelf would cost more than reading the archive again."""
    toy = Terse()
    toy.capabilities = Capabilities(local=True)
    folder = walk(tree_of(toy, shelf=Shelf(tmp_path)).root(), "transactions")
    for _, node in folder.entries():
        node.attributes()
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1  # the listing


def test_the_readme_of_a_listing_too_long_does_not_claim_that_there_is_one():
    folder = walk(tree_of(Toy(11)).root(), "transactions")
    text = folder.lookup("README.txt").render().decode()
    assert "more than 10" in text and "toy/recent/" in text and "are listed" not in text


def test_a_groups_document_and_folder_are_looked_up_directly():
    folder = walk(tree_of(Toy()).root(), "projects")
    for name, node in folder.entries():
        assert folder.lookup(name).ino == node.ino
    with pytest.raises(NotFound):
        folder.lookup("p2.json")  # nothing is known of it
    with pytest.raises(NotFound):
        folder.lookup("README.txt")


def test_an_outage_is_told_to_whom_it_concerns():
    toy, told = Toy(), []
    tree = ArchiveTree(toy, 60, 10, SystemClock(), outage=lambda: told.append(1))  # type: ignore[arg-type]
    walk(tree.root(), "transactions").entries()
    assert told == []
    toy.down = True
    with pytest.raises(Unreachable):
        walk(tree.root(), "recent").entries()
    assert told == [1]
