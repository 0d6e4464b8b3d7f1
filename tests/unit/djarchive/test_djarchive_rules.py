"""What may be published, and what is asked about first."""

import hashlib
import re
from pathlib import Path

import pytest

from pacifica_fs.archives.djarchive import rules
from pacifica_fs.archives.djarchive.manifest import NAME, format
from pacifica_fs.model import Bundle, BundleFile, Digest, Metadata

HIDDEN = re.compile(r"^\.")


def bundle(*paths, left=(), **fields):
    given = {"dataset": "ds", "revision": "1"} | fields
    files = tuple(BundleFile(path, 1, 0, Digest("sha256", "0" * 64), Path("/none")) for path in paths)
    return Bundle("id", "elements", "ds/1", files, Metadata(given), 0, tuple(left))


def words(problems):
    return " ".join(f"{problem.path} {problem.what} {problem.remedy}" for problem in problems)


def test_a_good_bundle():
    assert rules.problems(bundle("a", "b/c")) == []
    assert rules.target(bundle("a").metadata) == "ds/1"


@pytest.mark.parametrize(
    ("path", "left_out"),
    [("a", False), (".a", True), (".git/config", True), ("a/.b/c", True), ("a.b", False), ("a/b.", False)],
)
def test_the_filter_matches_each_component(path, left_out):
    assert bool(rules.leaves_out(path, Metadata(), HIDDEN)) == left_out
    assert rules.leaves_out(path, Metadata({"keep_all": "true"}), HIDDEN) == ""


@pytest.mark.parametrize("name", ["", "a/b", "..", "tab\t", "new\nline", "n" * 256])
def test_names_of_datasets_and_revisions(name):
    for field in ("dataset", "revision"):
        assert rules.problems(bundle("a", **{field: name}))


@pytest.mark.parametrize("path", ["a//b", "../a", "a\tb", "a\nb", "n" * 256, "/".join(["d" * 200] * 6), "\udcff"])
def test_paths_that_no_key_can_have(path):
    assert "cannot be published" in words(rules.problems(bundle("good", path)))


@pytest.mark.parametrize("path", ["a,b", 'a"b'])
def test_names_that_the_client_cannot_read_are_asked_about(path):
    assert "djarchive-client cannot read" in words(rules.problems(bundle(path)))
    assert rules.problems(bundle(path, confirm="true")) == []


def test_a_hundredth_may_be_left_out_without_a_question():
    many = [f"f{n}" for n in range(99)]
    assert rules.problems(bundle(*many, left=[".DS_Store"])) == []
    found = rules.problems(bundle(*many[1:], left=[".DS_Store", "._x"]))
    assert "takes 2 of 100 files, such as .DS_Store" in words(found)
    assert rules.problems(bundle("a", left=[".b"], confirm="true")) == []


@pytest.mark.parametrize("name", [".zarray", ".zgroup", ".zattrs"])
def test_a_zarr_store_is_never_published_without_its_metadata_unasked(name):
    many = [f"x/{n}" for n in range(1000)]
    found = words(rules.problems(bundle(*many, left=[f"x/{name}"])))
    assert f"x/{name}" in found and "Zarr" in found and "keep_all" in found


def test_a_word_that_is_neither_true_nor_false():
    assert "'replace' must be true or false" in words(rules.problems(bundle("a", replace="perhaps")))


def test_a_revision_that_is_there():
    there = {"a": (1, "0" * 64), "b": (1, "0" * 64)}
    assert "published before, with 2 files" in words(rules.replaced(bundle("a", "b"), there))
    assert rules.replaced(bundle("a", "b", "c", replace="true"), there) == []
    assert "would lose 1 of its 2 files, such as b" in words(rules.replaced(bundle("a", replace="true"), there))
    assert rules.replaced(bundle("a", replace="true", confirm="true"), there) == []


def test_a_dropped_manifest(tmp_path):
    data = {"a": b"1", "b": b"22"}
    lines = [(len(text), hashlib.sha256(text).hexdigest(), path) for path, text in data.items()]

    def dropped(lines, **changes):
        (tmp_path / "m").write_bytes(format(lines))
        files = [
            BundleFile(path, size, 0, Digest("sha256", digest), tmp_path / path) for size, digest, path in
            [(len(text), hashlib.sha256(text).hexdigest(), path) for path, text in (data | changes).items()]
        ]  # fmt: skip
        made = BundleFile(NAME, 1, 0, Digest("sha256", "0" * 64), tmp_path / "m")
        return Bundle("id", "elements", "ds/1", (*files, made), Metadata({"dataset": "ds", "revision": "1"}))

    assert rules.problems(dropped(lines)) == []
    assert "b it is not what the manifest says" in words(rules.problems(dropped(lines, b=b"33")))
    assert "c it is not in the manifest" in words(rules.problems(dropped(lines, c=b"")))
    missing = [*lines, (1, "0" * 64, "d")]
    assert "d the manifest lists it, but it is not there" in words(rules.problems(dropped(missing)))
