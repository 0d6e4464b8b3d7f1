"""What is read from a local archive: fast, only from inside it, and never less than was published."""

import json
import os
import shutil

import pytest

from pacifica_fs.archive import Data
from pacifica_fs.archives.local.record import Record, StoredFile, encode
from pacifica_fs.errors import BadAnswer, Corrupt, NotFound, PacificaFSError
from pacifica_fs.model import FileRef, Metadata


def content(archive, ref, start=0):
    return b"".join(bytes(arrival.data) for arrival in archive.open([ref], start=start))


@pytest.fixture
def published(site, here):
    files = {"a.txt": b"alpha", "d/b.bin": bytes(range(256)) * 10_000}
    return {"/".join(ref.parts): ref for ref in here.archive.files(site.send(here, site.bundle(files)))}


def test_a_folder_that_explains_itself(site, here):
    bundle = site.bundle({"d/été.txt": b"foo\n"}, metadata=Metadata({"project": "1234a", "x": "y"}, (("Tag", "1"),)))
    site.send(here, bundle)
    folder = site.root / "transactions/1"
    assert (folder / "files/d/été.txt").read_bytes() == b"foo\n"
    said = json.loads((folder / "transaction.json").read_text())
    assert said["files"] == [
        {
            "path": "d/été.txt",
            "size": 4,
            "mtime_ns": 1_600_000_000_123_456_789,
            "digest": "sha1:f1d2d2f924e986ac86fdf7b36c94bcdf32beec15",
            "mimetype": "application/octet-stream",
        }
    ]
    assert (said["id"], said["bundle"], said["project"], said["keys"]) == ("1", bundle.id, "1234a", [["Tag", "1"]])
    assert said["fields"] == {"x": "y"} and (said["count"], said["size"]) == (1, 4)
    info = here.archive.container("1").info
    assert "files" not in info and info["submitter"] == here.archive.identity
    assert {**info, "files": said["files"]} == said


def test_what_is_published_is_read_only_and_keeps_its_times(site, here):
    site.send(here, site.bundle({"a": b"1"}))
    found = (site.root / "transactions/1/files/a").stat()
    assert found.st_mode & 0o222 == 0
    assert found.st_mtime_ns == 1_600_000_000_123_456_789
    assert found.st_nlink == 1


def test_chunks_of_a_mebibyte(here, published):
    arrivals = list(here.archive.open([published["d/b.bin"]], start=5))
    assert all(isinstance(arrival, Data) and len(arrival.data) <= 1 << 20 for arrival in arrivals)
    assert [arrival.offset for arrival in arrivals] == [5, 5 + (1 << 20), 5 + (2 << 20)]


@pytest.mark.parametrize("change", [os.unlink, lambda path: os.truncate(path, 3), lambda path: os.truncate(path, 9)])
def test_what_is_not_as_published_is_corrupt(site, here, published, change):
    change(site.root / "transactions/1/files/a.txt")
    with pytest.raises(Corrupt, match=r"a\.txt"):
        content(here.archive, published["a.txt"])


def test_what_shrinks_while_it_is_read_is_corrupt(site, here, published):
    arrivals = here.archive.open([published["d/b.bin"]])
    next(arrivals)
    os.truncate(site.root / "transactions/1/files/d/b.bin", 1 << 20)
    with pytest.raises(Corrupt, match="ends at byte 1048576"):
        next(arrivals)


def test_links_are_not_followed(site, here, published, tmp_path):
    secret = tmp_path / "secret"
    (secret / "files/d").mkdir(parents=True)
    (secret / "a.txt").write_bytes(b"alpha")
    (secret / "files/d/b.bin").write_bytes(b"secret")
    (secret / "transaction.json").write_bytes((site.root / "transactions/1/transaction.json").read_bytes())
    files = site.root / "transactions/1/files"
    (files / "a.txt").unlink()
    (files / "a.txt").symlink_to(secret / "a.txt")
    with pytest.raises(BadAnswer, match="link"):
        content(here.archive, published["a.txt"])
    (files / "d").rename(files / "e")
    (files / "d").symlink_to(files / "e")
    with pytest.raises(BadAnswer, match="link"):
        content(here.archive, published["d/b.bin"])
    (site.root / "transactions/2").symlink_to(secret)
    for call in (here.archive.container, here.archive.files):
        with pytest.raises(PacificaFSError):
            call("2")
    assert [entry.id for entry in here.archive.containers({}, 10).entries] == ["1"]


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_is_not_waited_for(site, here, published, make):
    path = site.root / "transactions/1/files/a.txt"
    path.unlink()
    make(path)
    with pytest.raises(BadAnswer):
        content(here.archive, published["a.txt"])


@pytest.mark.parametrize(
    "parts", [("..", "transaction.json"), ("..", "..", "..", "format"), ("../transaction.json",), ()]
)
def test_a_reference_cannot_leave_the_transaction(here, published, parts):
    with pytest.raises(PacificaFSError):
        content(here.archive, FileRef("here", "1", "1-1", parts, 5, 0))
    with pytest.raises(NotFound):
        content(here.archive, FileRef("here", "1/files", "1-1", ("a.txt",), 5, 0))


def test_a_damaged_json_is_a_bad_answer_and_harms_no_other(site, here, published):
    site.send(here, site.bundle({"b": b"2"}))
    path = site.root / "transactions/1/transaction.json"
    text = path.read_text()
    for damaged in (
        "{",
        "[]",
        '"x"',
        text.replace("sha1:", "sha1", 1),
        text.replace('"size": 5', '"size": "x"'),
        "\xff",
    ):
        path.unlink()
        path.write_text(damaged, "latin-1")
        with pytest.raises(BadAnswer, match=r"transaction.*1"):
            here.archive.files("1")
    path.unlink()
    with pytest.raises(Corrupt, match=r"transaction\.json is missing"):
        here.archive.container("1")
    assert [entry.id for entry in here.archive.containers({}, 10).entries] == ["2", "1"]
    assert content(here.archive, here.archive.files("2")[0]) == b"2"


def test_what_is_not_a_transaction_is_not_listed(site, here, published):
    for name in ("lost+found", "007", "x", "1.json", "٣"):
        (site.root / "transactions" / name).mkdir()
    (site.root / "transactions/5").write_text("")
    assert [entry.id for entry in here.archive.containers({}, 10).entries] == ["1"]


def test_very_many_transactions(site, here):
    """The newest are listed by their names alone: nothing in them is opened."""
    for id in range(1, 20_001):
        os.mkdir(site.root / "transactions" / str(id))
    some = here.archive.containers({}, 100)
    assert [entry.id for entry in some.entries] == [str(id) for id in range(20_000, 19_900, -1)]
    assert not some.complete and "20000" in some.remark
    assert site.send(here, site.bundle({"a": b"1"})) == "20001"
    shutil.rmtree(site.root / "transactions")


def test_twenty_thousand_files_in_one_read(site, here):
    (site.root / "transactions/1").mkdir()
    stored = [
        StoredFile(f"run{n % 20}/scan-{n:06d}.raw", n, n, "sha1:" + "0" * 40, "text/plain") for n in range(20_000)
    ]
    (site.root / "transactions/1/transaction.json").write_bytes(encode(Record(id="1", files=stored)))
    assert len(here.archive.files("1")) == 20_000
