"""What a listing asks the site for: few requests, and nothing twice; large data sets one directory at a time."""

import random

import pytest

from pacifica_fs.archives.mytardis import client
from pacifica_fs.errors import BadAnswer, Denied, NotFound, Unreachable
from pacifica_fs.tree.views import walk
from tests.servers.mytardis import Site

from .conftest import names, paths

TITLE, DATA = "Large_1", "many_1"


@pytest.fixture
def large():
    """large(n) → a site with one data set of n files, seen by way of three experiments."""

    def make(number, directories=("",)):
        site = Site()
        site.user("alice")
        for title in ("Large", "again", "and again"):
            site.experiment(title, "alice")
        site.dataset("many", 1, 2, 3)
        for n in range(number):
            # Not unique names: the default order would give a file twice, and another not at all.
            site.file(1, directories[n % len(directories)], f"same_{n // 7}", b"%d" % n, version=n % 7)
        return site

    return make


def test_rows_that_come_more_than_once_are_one_file(tardis, archive):
    found = archive(tardis()).files("2")
    assert len({ref.id for ref in found}) == len(found) == 13


def test_all_pages_in_the_order_of_ids(tardis, archive, large):
    server = tardis(large(1500))
    found = archive(server).files("1")
    assert sorted(int(ref.id) for ref in found) == list(range(1, 1501))
    assert len({ref.parts for ref in found}) == 1500
    assert server.count(r"/dataset_file/\?.*order_by=id&limit=1000") == 5  # of 4,500 rows


def test_a_site_with_smaller_pages(tardis, archive, monkeypatch):
    server = tardis()
    whole = archive(server).files("1")
    monkeypatch.setattr(client, "PAGE", 2)
    assert archive(server).files("1") == whole
    assert server.count(r"limit=2&offset=12") == 1


def test_a_listing_costs_no_request_for_each_entry(tardis, archive, tree, large):
    server = tardis(large(900))
    root = tree(archive(server))
    names(root)
    names(root, TITLE)
    for _, node in paths(walk(root, TITLE, DATA)).items():
        node.attributes()
        node.xattrs()
    # Who we are, experiments, data sets, three pages of files.
    assert len(server.log) == 6


def test_a_large_data_set_is_listed_one_directory_at_a_time(tardis, archive, tree):
    server = tardis()
    whole = paths(walk(tree(archive(server)), "1"))
    assert not server.count("dir-nodes")
    root = tree(archive(server, whole_dataset=5))
    server.log.clear()
    assert set(names(root, "1", "2")) == {
        "Ergebnisse", "x", "v", "lead", 'a"b;c%20d.txt', "run#1?x=1&y=2.dat", "empty.dat", "plain.txt", "gone.dat",
        "tape.dat", "custom.dat",
    }  # fmt: skip
    assert server.count("dir_path") == 0
    walk(root, "1", "2", "v", "dup.txt")
    assert server.count("dir_path") == server.count("directory=v(&|$)") == 1
    found = paths(walk(root, "1"))
    assert {path: (node.ino, node.ref) for path, node in found.items() if hasattr(node, "ref")} == {
        path: (node.ino, node.ref) for path, node in whole.items() if hasattr(node, "ref")
    }
    with pytest.raises(NotFound):
        walk(root, "1", "2", "v", "missing")
    with pytest.raises(NotFound):
        walk(root, "1", "2", "missing", "x")


def test_null_directories_of_a_large_data_set_come_by_their_ids(tardis, archive, tree):
    server = tardis()
    root = tree(archive(server, whole_dataset=5))
    assert "null-directory.txt" in names(root, "1", "1")
    assert server.count("/dataset_file/set/12/") == 1


@pytest.mark.parametrize("seed", range(6))
def test_both_ways_give_the_same_tree(tardis, archive, tree, seed):
    """Directories with every stray slash, names that clash, versions."""
    random.seed(seed)
    site = Site()
    site.user("alice")
    site.experiment("Large", "alice")
    site.dataset("many", 1)
    pieces = ["a", "b", "a/b", "", ".", "c c", "é"]
    for number in range(40):
        directory = "/".join(random.choices(pieces, k=random.randrange(4)))
        directory = random.choice([directory, "/" + directory, directory + "/", None])
        site.file(1, directory, random.choice(["a", "b", "f", "g.txt"]), b"%d" % number, version=random.randrange(3))
    server = tardis(site)
    whole = paths(walk(tree(archive(server)), "1", "1"))
    deep = paths(walk(tree(archive(server, whole_dataset=1)), "1", "1"))
    assert {p: n.ref.id for p, n in deep.items()} == {p: n.ref.id for p, n in whole.items()}
    assert len(whole) == 40


def test_a_filter_that_the_site_does_not_know_is_found_out(tardis, archive, requests_mock):
    server = tardis()
    made = archive(server)
    row = {"id": 1, "dataset": "/api/v1/dataset/7/", "filename": "x", "size": 1, "replicas": []}
    requests_mock.get(
        server.url + "/api/v1/user/", json={"meta": {"next": None}, "objects": [{"id": 1, "username": "alice"}]}
    )
    requests_mock.get(server.url + "/api/v1/dataset/2/", json={"id": 2, "experiments": []})
    requests_mock.get(server.url + "/api/v1/dataset_file/", json={"meta": {"next": None}, "objects": [row]})
    with pytest.raises(BadAnswer, match="another data set"):
        made.files("2")


def test_a_page_of_something_between_is_an_outage(tardis, archive, tree):
    server = tardis()
    root = tree(archive(server))
    server.page = (200, "<html><h1>Please log in to the campus network</h1></html>")
    with pytest.raises(Unreachable, match="campus network"):
        names(root)


def test_an_empty_site_is_asked_who_we_are(tardis, archive, tree):
    server = tardis(Site())
    with pytest.raises(Denied):
        names(tree(archive(server)))
