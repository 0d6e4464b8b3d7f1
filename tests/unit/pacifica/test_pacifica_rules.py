import msgspec
import pytest

from pacifica_fs.archives.pacifica import rules
from pacifica_fs.model import Digest


def said(bundle):
    return [f"{problem.path}|{problem.what}|{problem.remedy}" for problem in rules.problems(bundle)]


def test_nothing_is_wrong(bundle):
    files = {
        "a/b.txt": b"x",
        "data": b"y",
        "data2/data/é": b"",
        "n" * 255: b"1",
        "f" * 255 + "/x": b"2",
        ".hidden": b"",
    }
    assert said(bundle(files, keys=[("Tag", "a"), ("Tag", "b"), ("k" * 255, "v" * 255), ("e", "")])) == []
    assert said(bundle(submitter="bkim")) == []
    assert said(bundle(submitter=None)) == []


@pytest.mark.parametrize(
    "fields,words",
    [
        ({"project": None}, "names no project"),
        ({"project": " "}, "names no project"),
        ({"instrument": None}, "names no instrument"),
        ({"instrument": "sem-1"}, "'sem-1' is not the number"),
        ({"instrument": "-4"}, "'-4' is not the number"),
        ({"instrument": "²"}, "is not the number"),
        ({"instrument": str(2**31)}, "is not the number"),
        ({"submitter": "-1"}, "submitter -1 is not the number"),
        ({"submitter": str(2**40)}, "is not the number"),
        ({"project": "p" * 256}, "the project has 256 characters; the site takes at most 255"),
    ],
)
def test_fields(bundle, fields, words):
    (problem,) = said(bundle(**fields))
    assert words in problem and problem.rpartition("|")[2]


@pytest.mark.parametrize(
    "keys,words",
    [
        ([("a", "b"), ("a", "b")], "the key 'a' with the value 'b' is there 2 times"),
        ([("k" * 256, "v")], "has 256 characters"),
        ([("k", "v" * 256)], "the value of the key 'k' has 256 characters"),
        ([("k", "a\0b")], "cannot be stored"),
        ([("k", "\udcff")], "cannot be stored"),
        ([("", "v")], "empty key"),
        ([("pacifica-fs.bundle", "x")], "used by this program"),
    ],
)
def test_keys(bundle, keys, words):
    (problem,) = said(bundle(keys=keys))
    assert words in problem and problem.rpartition("|")[2]


@pytest.mark.parametrize("table", ["Transactions._id", "FileKeyValue"])
def test_native_entries_that_would_do_harm(bundle, table):
    (problem,) = said(bundle(native=[{"destinationTable": table, "value": 1}, {"destinationTable": "Other"}]))
    assert table in problem


@pytest.mark.parametrize("path", ["..", "a/../b", "./a", "a//b", "/a", "a/", "a\0b"])
def test_paths(bundle, path):
    plain = bundle({"x": b"1"})
    wrong = msgspec.structs.replace(plain, files=(msgspec.structs.replace(plain.files[0], path=path),))
    assert any("empty, '.' or '..'" in problem for problem in said(wrong))


def test_a_name_that_is_not_unicode(bundle):
    plain = bundle({"x": b"1"})
    wrong = msgspec.structs.replace(plain, files=(msgspec.structs.replace(plain.files[0], path="a/\udcff"),))
    (problem,) = said(wrong)
    assert problem.startswith(r"a/\udcff|the name is not valid UTF-8")


@pytest.mark.parametrize(
    "path,words", [("n" * 256, "the name has 256"), ("d/" * 128 + "x", None), ("d" * 256 + "/x", "folder has 256")]
)
def test_lengths_are_in_characters(bundle, path, words):
    plain = bundle({"x": b"1"})
    problems = said(msgspec.structs.replace(plain, files=(msgspec.structs.replace(plain.files[0], path=path),)))
    assert (len(problems) == 1 and words in problems[0]) if words else problems == []


def test_the_same_path_twice_and_a_file_like_a_folder(bundle):
    one = bundle({"h": b"1", "h/x": b"2", "h/x/y": b"3"})
    twice = msgspec.structs.replace(one, files=(*one.files, one.files[2]))
    assert said(one) == [
        "h|a file and a folder have the same name|rename one of them",
        "h/x|a file and a folder have the same name|rename one of them",
    ]
    assert "h/x/y|the same path is there 2 times|rename all but one" in said(twice)


@pytest.mark.parametrize(
    "digest",
    [
        Digest("nosuch", "ab"),
        Digest("shake_128", "ab"),
        Digest("sha1", "ab"),
        Digest("sha1", "F" * 40),
        Digest("sha1", "g" * 40),
    ],
)
def test_hashes(bundle, digest):
    plain = bundle({"x": b"1"})
    wrong = msgspec.structs.replace(plain, files=(msgspec.structs.replace(plain.files[0], digest=digest),))
    assert len(said(wrong)) == 1


@pytest.mark.parametrize("kind", ["md5", "sha1", "sha256", "sha512", "blake2b", "sha3_256"])
def test_hashes_that_every_server_has(bundle, kind):
    import hashlib

    plain = bundle({"x": b"1"})
    digest = Digest(kind, hashlib.new(kind, b"1").hexdigest())
    fine = msgspec.structs.replace(plain, files=(msgspec.structs.replace(plain.files[0], digest=digest),))
    assert said(fine) == []


def test_a_time_that_no_calendar_has(bundle):
    plain = bundle({"x": b"1"})
    wrong = msgspec.structs.replace(plain, files=(msgspec.structs.replace(plain.files[0], mtime_ns=10**30),))
    (problem,) = said(wrong)
    assert "touch" in problem
