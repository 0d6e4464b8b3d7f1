"""Names that differ from ids, names without a listing, views beside each other."""

import json

import pytest

from pacifica_fs.archive import Capabilities, Finder
from pacifica_fs.clock import SystemClock
from pacifica_fs.errors import NotFound, Unreachable
from pacifica_fs.model import Container, FileRef, Group, Listing, View
from pacifica_fs.tree.views import ArchiveTree, walk


class Server:
    """Experiments of data sets, whose titles are neither unique nor names."""

    name = kind = "toy"
    identity = "me"
    capabilities = Capabilities()
    views = (View("", ("experiment",)), View("newest", newest=1), View("closed", missing="Ask for it."))
    experiments = {"1": "Gold", "2": "Silver", "3": "Silver", "4": "a/b", "5": "x.json"}  # noqa: RUF012

    def __init__(self):
        self.requests = []
        self.complete = True

    def groups(self, dimension, where):
        self.requests.append(("groups", dimension))
        if not self.complete:
            return Listing((), False, "Far too many.")
        return Listing(tuple(Group(id, label, info={"title": label}) for id, label in self.experiments.items()))

    def containers(self, where, limit):
        self.requests.append(("containers", dict(where)))
        return Listing((Container("toy", "54", 5, {"n": 1}, "Run"), Container("toy", "55", 5, {}, "Run")))

    def container(self, id):
        self.requests.append(("container", id))
        if id != "55":
            raise NotFound(id)
        return Container("toy", "55", 5, {"n": 2}, "Run")

    def files(self, container):
        return [FileRef("toy", container, "1", ("a.txt",), 4, 7)]


class Found(Server):
    """The same with look-ups by a trailing id."""

    views = (View("", ("experiment",), unlisted=True), View("listed", ("experiment",)))

    def find_group(self, dimension, where, name):
        self.requests.append(("find_group", name))
        id = name.rpartition("_")[2]
        if id not in self.experiments:
            raise NotFound(name)
        return Group(id, f"{self.experiments[id]}_{id}", info={"title": self.experiments[id]})

    def find_container(self, where, name):
        self.requests.append(("find_container", dict(where), name))
        id = name.rpartition("_")[2]
        if where != {"experiment": "1"} or id != "54":
            raise NotFound(name)
        return Container("toy", "54", 5, {"n": 1}, "Run_54")


def root_of(archive, limit=100):
    return ArchiveTree(archive, 60, limit, SystemClock()).root()  # type: ignore[arg-type]


def names(node):
    return [name for name, _ in node.entries()]


def test_entries_are_called_by_their_labels_and_equal_ones_by_their_ids_too():
    root = root_of(Server())
    folders = [name for name in names(root) if not name.endswith(".json")]
    assert folders == ["newest", "closed", "Gold", "Silver~2", "Silver~3", "a_b"] or "x.json~5" in names(root)
    assert names(walk(root, "Gold")) == ["Run~54", "Run~54.json", "Run~55", "Run~55.json"]
    assert json.loads(walk(root, "Silver~3.json").render()) == {"title": "Silver"}
    assert json.loads(walk(root, "Gold", "Run~55.json").render())["id"] == "55"


def test_where_values_are_ids():
    server = Server()
    walk(root_of(server), "a_b", "Run~54", "a.txt")
    assert ("containers", {"experiment": "4"}) in server.requests


def test_what_is_called_like_a_document_gets_another_name():
    shown = names(root_of(Server()))
    assert "x.json~5" in shown and "x.json" not in shown


def test_named_views_stand_beside_the_nameless_one():
    server = Server()
    root = root_of(server)
    assert names(root)[:2] == ["newest", "closed"]
    server.requests.clear()
    assert names(walk(root, "newest"))[0] == "Run~54"
    assert ("groups", "experiment") not in server.requests


def test_a_view_that_cannot_be_had_says_why():
    folder = walk(root_of(Server()), "closed")
    assert names(folder) == ["README.txt"]
    assert b"Ask for it." in folder.lookup("README.txt").render()
    with pytest.raises(NotFound):
        folder.lookup("54")


def test_an_unlisted_name_costs_no_listing():
    server = Found()
    assert isinstance(server, Finder) and not isinstance(Server(), Finder)
    folder = walk(root_of(server), "anything_1", "Run_54")
    assert names(folder) == ["a.txt"]
    assert server.requests == [("find_group", "anything_1"), ("find_container", {"experiment": "1"}, "Run_54")]
    folder = walk(root_of(server), "Gold_1", "54")
    with pytest.raises(NotFound):
        walk(root_of(server), "Gold_9")
    with pytest.raises(NotFound):
        walk(root_of(server), "Silver_2", "Run_54")
    assert not [request for request in server.requests if request[0] in ("groups", "containers")]


def test_an_unlisted_name_is_asked_for_once():
    server = Found()
    root = root_of(server)
    for _ in range(3):
        walk(root, "Gold_1", "Run_54", "a.txt")
    assert len(server.requests) == 2


def test_a_listing_that_is_here_needs_no_other_request():
    server = Found()
    root = root_of(server)
    shown = names(root)
    for name in shown:
        if not name.endswith(".txt"):
            root.lookup(name)
    assert [request for request in server.requests if request[0] != "groups"] == []


def test_a_name_made_for_equal_labels_is_found_with_a_cold_cache():
    assert walk(root_of(Found()), "Silver~2").ino == walk(root_of(Found()), "Silver_2").ino


def test_documents_of_unlisted_entries():
    root = root_of(Found())
    assert json.loads(walk(root, "x_1.json").render()) == {"title": "Gold"}
    assert json.loads(walk(root, "x_1", "54.json").render())["n"] == 1


def test_what_an_incomplete_listing_does_not_show_is_asked_for():
    server = Found()
    server.complete = False
    folder = walk(root_of(server), "listed")
    assert names(folder) == ["README.txt"]
    assert b"Far too many." in folder.lookup("README.txt").render()
    assert names(walk(folder, "Gold_1", "Run~54")) == ["a.txt"]
    with pytest.raises(NotFound):
        walk(folder, "Gold_9")


def test_an_outage_of_a_look_up_is_an_outage():
    server = Found()

    def down(*_):
        raise Unreachable("down")

    server.find_group = down  # type: ignore[method-assign]
    with pytest.raises(Unreachable):
        walk(root_of(server), "Gold_1")


def test_a_document_has_a_name_that_linux_takes():
    server = Server()
    server.experiments = {"1": "é" * 127, "2": "b" * 255}
    root = root_of(server)
    for name in names(root):
        assert len(name.encode()) <= 255
        assert root.lookup(name).ino
    documents = [name for name in names(root) if name.endswith(".json")]
    assert [json.loads(root.lookup(name).render())["title"] for name in documents] == ["é" * 127, "b" * 255]
