"""Files in a table are shown as `arrange` would show them, and cost little."""

import hashlib
import subprocess
import sys
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pacifica_fs.errors import NotFound
from pacifica_fs.filetable import FileTable, Rows, Twice
from pacifica_fs.model import FileRef
from pacifica_fs.tree.inside import KEPT, Folders
from pacifica_fs.tree.names import arrange
from pacifica_fs.tree.tabled import TableLevel

SHA = hashlib.sha256(b"")
SPOOLING = SimpleNamespace(recall=None)
NAMES = st.sampled_from(["a", "b", "a!", "a.txt", "", ".", "..", "é", "a~d_r_a", "\udcff", "\udcfe", "x" * 256, "a\nb"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join).filter(bool)


def table(*paths, others=(), times=()):
    rows = Rows()
    raw = [path.encode("utf-8", "surrogateescape") for path in paths]
    rows.add(raw, range(len(raw)), SHA.digest() * len(raw), times)
    for other in others:
        rows.other(other)
    return rows.table("archive", "d/r", "d/r/", "etag", 7, "sha256")


def flat(level):
    """Everything below, by name, without a regard to the order."""
    return {name: item if isinstance(item, FileRef) else flat(item) for name, item in level.items()}


@given(st.lists(PATHS, unique=True, max_size=12))
@example(["a", "a/b", "a!", "a!/c", "a/./b", "a/_/b"])
@example(["../x", "__", "_", "./y", "a//b"])
def test_what_is_shown_is_what_all_files_arranged_are(paths):
    files = table(*paths)
    assert len(files) == len(paths) and {ref.id for ref in files} == {f"d/r/{path}" for path in paths}
    whole = arrange(tuple(files))
    assert flat(TableLevel(files)) == whole
    _look(TableLevel(files), whole)


def _look(level, whole):
    assert len(level) == len(whole) and set(level) == set(whole)
    for name, item in whole.items():
        if isinstance(item, FileRef):
            assert level[name] == item
        else:
            _look(level[name], item)
    for name in ("nosuch", "a", "b", "..", "", "a~", "\ud800"):
        assert (name in level) == (name in whole)


def test_a_table_is_a_sequence_in_the_order_of_its_paths():
    files = table("b", "a/z", "a/b/c", "a.txt")
    assert [ref.id for ref in files] == ["d/r/a/b/c", "d/r/a/z", "d/r/a.txt", "d/r/b"]
    assert files[3] == FileRef("archive", "d/r", "d/r/b", ("b",), 0, 7, files[3].digest, "etag")
    assert str(files[0].digest) == f"sha256:{SHA.hexdigest()}"
    assert files[1:3] == (files[1], files[2]) and files[-1] == files[3]
    with pytest.raises(IndexError):
        files[4]


def test_times_and_others_follow_their_files():
    other = FileRef("archive", "d/r", "d/r/m", ("m",), 9, 8, None, "etag", "text/csv")
    files = table("z", "m", "a", others=[other], times=[1, 2, 3])
    assert {ref.id: ref.mtime_ns for ref in files} == {"d/r/z": 1, "d/r/m": 8, "d/r/a": 3}
    assert files[1] == other


def test_a_file_that_is_said_twice():
    rows = Rows()
    rows.add([b"a", b"b", b"a"], [1, 2, 1], SHA.digest() * 3)
    assert [ref.id for ref in rows.table("archive", "d/r", "d/r/", None, 0, "sha256")] == ["d/r/a", "d/r/b"]
    rows = Rows()
    rows.add([b"a", b"b", b"a"], [1, 2, 3], SHA.digest() * 3)
    with pytest.raises(Twice, match=r"^a$"):
        rows.table("archive", "d/r", "d/r/", None, 0, "sha256")


def test_a_table_can_be_kept():
    files = table("a", "b/c", others=[FileRef("archive", "d/r", "d/r/m", ("m",), 9, 8)])
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(files), type=tuple[FileRef, ...] | FileTable)
    assert kept == files and list(kept) == list(files)


def test_folders_keep_what_was_shown_last_within_bounds():
    files = table(*(f"{folder}/{number}" for folder in "abc" for number in range(KEPT // 2)))
    top = Folders("archive", "d/r", TableLevel(files), SPOOLING).top(0)
    first = top.lookup("a")
    node = first.entries()[0][1]
    assert first.lookup(node.ref.parts[-1]) is node is top.lookup("a").lookup("0")
    for folder in "bc":
        assert len(top.lookup(folder).entries()) == KEPT // 2
    assert first.lookup("0") is not node and first.lookup("0").ref == node.ref
    with pytest.raises(NotFound):
        first.lookup("nosuch")


def test_who_goes_through_very_many_files_is_followed_folder_by_folder():
    small = Folders("archive", "d/r", TableLevel(table("a/1", "b/1")), SPOOLING).top(0)
    assert small.lookup("a").lookup("1").among is small.lookup("b").lookup("1").among
    files = table(*(f"{number // 1000}/{number}" for number in range(101_000)))
    folder = Folders("archive", "d/r", TableLevel(files), SPOOLING).top(0).lookup("7")
    node = folder.lookup("7001")
    assert node.among.key == folder.entries()[0][1].among.key != small.lookup("a").lookup("1").among.key
    assert [len(order) for order in node.among.orders()] == [1000, 1000]


MILLION = """
import resource
from types import SimpleNamespace
from pacifica_fs.archives.djarchive.listing import listed
from pacifica_fs.archives.djarchive.store import Object
from pacifica_fs.tree.inside import Folders
from pacifica_fs.tree.tabled import TableLevel

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10

N, DIGEST = 1_000_000, "0" * 64
text = bytearray()
for n in reversed(range(N)):
    text += f'"{n}","{DIGEST}","folder{n % 1000:03}/session/file{n:07}.dat"\\n'.encode()
before = peak()
about = Object("d/r/djarchive-manifest.csv", len(text), 0, "etag")
level = TableLevel(listed("archive", "d/r", memoryview(text), about, None, "it"))
del text
folder = Folders("archive", "d/r", level, SimpleNamespace(recall=None)).top(0)
assert folder.lookup("folder007").lookup("session").lookup("file0000007.dat").ref.size == 7
number = sum(len(one.lookup("session").entries()) for name, one in folder.entries() if "manifest" not in name)
assert number == N, number
print(peak() - before)
"""


@pytest.mark.timeout(300)
def test_a_million_lines_take_a_few_hundred_megabytes():
    done = subprocess.run([sys.executable, "-c", MILLION], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 450
