"""The tree `status/`: made from snapshots, waits for nobody."""

import json

import msgspec
import pytest

from pacifica_fs.drop.upload import Upload
from pacifica_fs.errors import NotFound
from pacifica_fs.model import Health, Problem
from pacifica_fs.service import status
from pacifica_fs.tree.views import walk

NOW = 1_600_000_000.0


class ToyArchive:
    kind = "toy"


class ToyWatch:
    def __init__(self):
        self.found = {}

    def last(self, name):
        return self.found.get(name)


@pytest.fixture
def sources():
    uploads = []
    watch = ToyWatch()
    made = status.Sources(
        events={},
        uploads=lambda: tuple(uploads),
        downloads=lambda: [{"file": "1", "state": "staging"}],
        cache=lambda: {"size": 5},
        archives={"site": ToyArchive(), "here": ToyArchive()},
        watch=watch,
        metrics=lambda: "metric 1\n",
        log=lambda: "a line\n",
    )
    return made, uploads, watch


def names(node):
    return [name for name, _ in node.entries()]


def read(node, *path):
    return walk(node, *path).render().decode()


MORE = ["metrics", "log", "threads", "index.html"]


def test_what_is_there(sources):
    top = status.tree(sources[0])
    assert names(top) == ["uploads", "jobs", "archives", "events", "downloads.json", "cache.json", *MORE]
    assert json.loads(read(top, "downloads.json")) == [{"file": "1", "state": "staging"}]
    assert json.loads(read(top, "cache.json")) == {"size": 5}
    assert read(top, "metrics") == "metric 1\n" and read(top, "log") == "a line\n"
    assert names(walk(top, "uploads")) == [] and names(walk(top, "jobs")) == []


def test_archives(sources):
    made, _, watch = sources
    top = status.tree(made)
    assert names(walk(top, "archives")) == ["site.json", "here.json"]
    assert json.loads(read(top, "archives", "site.json")) == {
        "name": "site",
        "kind": "toy",
        "reachable": None,
        "error": "not asked yet",
    }
    watch.found["site"] = (Health(False, "me", 0.1, "down", {"policy": "no connection"}), NOW)
    assert json.loads(read(top, "archives", "site.json")) == {
        "name": "site",
        "kind": "toy",
        "reachable": False,
        "identity": "me",
        "latency": 0.1,
        "error": "down",
        "services": {"policy": "no connection"},
        "checked": "2020-09-13T12:26:40Z",
    }
    with pytest.raises(NotFound):
        walk(top, "archives", "other.json")


def test_uploads(sources):
    made, uploads, _ = sources
    top = status.tree(made)
    # Newest first, as the drop gives them.
    uploads += [
        Upload("site", "run", "id2", "open", files=3),
        Upload("site", "run", "id1", "done", transaction="9", receipt={"job": "9"}),
        Upload("site", "a/b", "id3", "held", problems=(Problem("no project", "Add one.", "metadata.json"),)),
        Upload("here", "run", "id4", "done", transaction="1", receipt={"job": "1"}),
    ]
    assert names(walk(top, "uploads")) == ["here", "site"]
    assert names(walk(top, "uploads", "site")) == ["a", "run"]
    assert walk(top, "uploads", "site", "run").attributes().mode & 0o777 == 0o700
    for path in ((), ("site",)):
        assert walk(top, "uploads", *path).attributes().mode & 0o777 == 0  # as the mount's `access` says
    run = walk(top, "uploads", "site", "run")
    assert names(run) == ["status.json", "problems.txt", ".history"]
    assert names(walk(run, ".history")) == ["id1"]
    shown = json.loads(read(run, "status.json"))
    assert (shown["id"], shown["state"], shown["files"]) == ("id2", "open", 3)
    # All that DESIGN promises of an upload's status.
    wanted = "archive name id state files bytes sent job task percent transaction path sidecar problems left_out"
    assert {*wanted.split(), "created", "updated"} <= shown.keys()
    assert read(run, "problems.txt") == ""
    held = read(top, "uploads", "site", "a", "b", "problems.txt")
    assert "metadata.json: no project" in held and "Add one." in held
    done = walk(top, "uploads", "here", "run")
    assert names(done) == ["status.json", "problems.txt", "receipt.json", "transaction"]
    assert walk(done, "transaction").target == "../../../../here/transactions/1"
    assert json.loads(read(done, "receipt.json")) == {"job": "1"}


def test_a_file_that_was_looked_up_shows_what_is_true_when_it_is_opened(sources):
    made, uploads, _ = sources
    uploads.append(Upload("site", "run", "id1", "open"))
    file = walk(status.tree(made), "uploads", "site", "run", "status.json")
    uploads[0] = msgspec.structs.replace(uploads[0], state="done")
    assert json.loads(file.render())["state"] == "done"
    uploads.clear()  # discarded meanwhile: what was last known
    assert json.loads(file.render())["state"] == "open"


def test_json_of_status_files():
    assert (
        status.as_json({"é": Problem("x")})
        == '{\n  "é": {\n    "what": "x",\n    "remedy": "",\n    "path": ""\n  }\n}\n'
    )


def test_what_belongs_to_a_bundle_says_so(sources):
    """`user.pacifica.bundle` is on everything of a bundle in the status, as it is in the drop."""
    made, uploads, _ = sources
    uploads.append(Upload(archive="here", name="run", id="b1", state="open"))
    folder = walk(status.tree(made), "uploads", "here", "run")
    for node in (folder, folder.lookup("status.json"), folder.lookup("problems.txt")):
        assert node.xattrs() == {"user.pacifica.archive": b"here", "user.pacifica.bundle": b"b1"}
