"""metadata.txt and the tar around it."""

import io
import json
import tarfile

import msgspec
import pytest

from pacifica_fs.archives.pacifica import entries
from pacifica_fs.archives.pacifica.tarwrite import TarBody
from pacifica_fs.errors import Corrupt, PacificaFSError


def test_the_document(bundle):
    native = [
        {"destinationTable": "Transactions.extra", "value": 1},
        {"destinationTable": "Files", "name": "theirs"},
        {"destinationTable": "Transactions.project", "value": "other"},
        {"metaID": "form field without a table"},
    ]
    made = json.loads(entries.document(bundle({"a/b/foo.txt": b"foo\n"}, [("T", "1"), ("T", "2")], native), 102))
    assert made == [
        {"destinationTable": "Transactions.submitter", "value": 102},
        {"destinationTable": "Transactions.project", "value": "51001"},
        {"destinationTable": "Transactions.instrument", "value": 2001},
        {"destinationTable": "TransactionKeyValue", "key": "T", "value": "1"},
        {"destinationTable": "TransactionKeyValue", "key": "T", "value": "2"},
        {"destinationTable": "TransactionKeyValue", "key": "pacifica-fs.bundle", "value": "b-1"},
        {"destinationTable": "Transactions.extra", "value": 1},
        {
            "destinationTable": "Files",
            "name": "foo.txt",
            "subdir": "data/a/b",
            "size": 4,
            "hashtype": "sha1",
            "hashsum": "f1d2d2f924e986ac86fdf7b36c94bcdf32beec15",
            "mimetype": "text/plain",
            "mtime": "2020-01-02T03:04:05",
            "ctime": "2020-01-02T03:04:05",
        },
    ]


def clipped(path):
    """As ingest finds the member of an entry: one leading `data` and empty components are taken off."""
    parts = path.split("/")
    parts = parts[1:] if parts[0] == "data" else parts
    return "data/" + "/".join(part for part in parts if part)


@pytest.mark.parametrize("path", ["x", "data", "data/x", "data/data/x", "a/data/x", "data/data"])
def test_ingest_finds_every_member(bundle, path):
    made = bundle({path: b"1"})
    entry = entries.file(made.files[0])
    with tarfile.open(fileobj=io.BytesIO(b"".join(TarBody(made.files, b"[]")))) as tar:
        assert clipped(f"{entry['subdir']}/{entry['name']}") == tar.getnames()[0]
    assert clipped(entry["subdir"]) == ("data/" + path.rpartition("/")[0]).rstrip("/") or path.count("/") == 0


@pytest.mark.parametrize(
    "given,sent",
    [
        ("text/plain", "text/plain"),
        ("multipart/mixed", "application/octet-stream"),
        ("inode/x-empty", "application/octet-stream"),
        ("chemical/x-pdb", "application/octet-stream"),
        ("", "application/octet-stream"),
        ("text", "application/octet-stream"),
        ("text/" + "x" * 255, "application/octet-stream"),
    ],
)
def test_mime_types(given, sent):
    assert entries.mime_type(given) == sent


def test_the_tar_and_its_length(bundle):
    files = {"é ü/" + "n" * 200: b"x" * 513, "e": b"", "b": b"y" * 512, "m": b"z" * (2**20 + 1)}
    made = bundle(files)
    events = []
    body = TarBody(made.files, b"[1]", events.append, lambda: events.append("last"))
    pieces = list(body)
    whole = b"".join(pieces)
    assert len(whole) == len(body) == body.passed == events[-1]
    assert max(map(len, pieces)) <= 2**20
    assert events.count("last") == 1
    before = events[events.index("last") - 1]
    assert b"metadata.txt" not in whole[:before] and b"metadata.txt" in whole[before : before + 512]
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        assert tar.getnames() == [*(f"data/{path}" for path in files), "metadata.txt"]
        assert {name: tar.extractfile(name).read() for name in tar.getnames()} == {
            **{f"data/{path}": content for path, content in files.items()},
            "metadata.txt": b"[1]",
        }


@pytest.mark.parametrize("change,error", [("shorter", Corrupt), ("longer", Corrupt), ("gone", PacificaFSError)])
def test_a_file_that_changed_ends_it_before_the_last_part(bundle, change, error):
    made = bundle({"a": b"x" * 1000})
    source = made.files[0].source
    if change == "gone":
        source.unlink()
    else:
        source.write_bytes(b"x" * (999 if change == "shorter" else 1001))
    called = []
    body = TarBody(made.files, b"[]", last=lambda: called.append(1))
    with pytest.raises(error, match=r"^a "):
        list(body)
    assert called == [] and isinstance(body.failure, error)


def test_a_large_file_has_its_size_in_the_header(bundle):
    made = bundle({"a": b""})
    huge = msgspec.structs.replace(made.files[0], size=20 * 2**30)
    assert len(TarBody((huge,), b"")) > 20 * 2**30
