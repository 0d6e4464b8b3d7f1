"""Reading through the kernel: right bytes, errors that no program takes for the end, no request too many."""

import errno
import hashlib
import mmap
import os
import stat
import subprocess

import numpy
import pytest

from .harness import bounded
from .survival import failure
from .toy.content import MIB, pattern
from .toy.mounting import counts, toy
from .toy.serve import KIND_SIZES, NAMES
from .toy.tree import MTIME

pytestmark = [pytest.mark.timeout(60)]


@pytest.fixture
def mount(mounted):
    return toy(mounted)


def run(*command, **more):
    """A program's output; its error if it fails."""
    return subprocess.run(command, capture_output=True, check=True, timeout=20, **more).stdout


@pytest.mark.parametrize("name", ["complete", "complete-fresh", "complete-direct", "memory", "memory-direct", "slow"])
def test_the_right_bytes(mount, name):
    path = mount.path / "files" / name
    expected = pattern(KIND_SIZES[name])
    assert bounded(name, path.read_bytes) == expected
    assert hashlib.md5(run("cat", path)).digest() == hashlib.md5(expected).digest()
    with open(path, "rb", buffering=0) as stream:
        end = len(expected)
        for offset, size in [(0, 1), (4095, 3), (MIB - 1, 2 * MIB), (end - 5, 100), (end, 10), (end + 7, 1)]:
            assert os.pread(stream.fileno(), size, offset) == expected[offset : offset + size]


def test_no_request_for_an_empty_file(mount):
    assert (mount.path / "files/empty").read_bytes() == b""


@pytest.mark.parametrize("name", ["fails", "fails-direct", "again", "again-direct"])
def test_a_file_that_fails_half_way_raises_and_is_never_short(mount, name):
    path = mount.path / "files" / name
    with open(path, "rb") as stream:
        assert failure(stream.read) == errno.EIO
    copy = mount.folder / "copy"
    assert subprocess.run(["cp", path, copy], capture_output=True, timeout=20).returncode == 1
    assert subprocess.run(["md5sum", path], capture_output=True, timeout=20).returncode == 1
    # And so again: the error is not kept as an end of the file.
    assert failure(path.read_bytes) == errno.EIO


def test_what_nobody_foresaw_is_eio_and_logged_with_a_traceback(mount):
    mount.expect_traceback("nobody foresaw this")
    assert failure((mount.path / "files/bug").read_bytes) == errno.EIO
    assert "nobody foresaw this" in mount.log.read_text()
    assert (mount.path / "files/slow").read_bytes() == pattern(MIB)


def test_complete_content_that_is_shorter_than_it_says_is_an_error(mount):
    # The descriptor has half of it; what is not there is asked of the reader, whose word is final.
    assert failure((mount.path / "files/short").read_bytes) == errno.EIO


def test_a_warm_file_reaches_no_read(mount):
    path = mount.path / "files/complete"
    assert len(path.read_bytes()) == KIND_SIZES["complete"]
    before = counts(mount)["fd"]
    for _ in range(3):
        assert path.read_bytes() == pattern(KIND_SIZES["complete"])
    assert counts(mount)["fd"] == before
    # Without keep_cache each open drops the pages.
    fresh = mount.path / "files/complete-fresh"
    fresh.read_bytes()
    before = counts(mount)["fd"]
    fresh.read_bytes()
    assert counts(mount)["fd"] > before


def test_requests_are_large(mount):
    path = mount.path / "files/complete"
    path.read_bytes()
    if os.geteuid() == 0:
        device = os.stat(path).st_dev
        with open(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb") as setting:
            assert int(setting.read()) == 1024
        assert counts(mount)["fd"] <= 4 * 4  # 4 MiB, and the first window is smaller


def test_a_listing_gives_attributes_along(mount):
    before = counts(mount).get("getattr", 0)
    listed = run("ls", "-l", mount.path / "files").decode().splitlines()
    assert len(listed) == len(KIND_SIZES) + 620 + 1
    after = counts(mount)
    assert after["getattr"] - before < 10
    assert after.get("getxattr", 0) < 10  # it asks for the ACL of one file only
    assert after["readdir"] >= 2


def test_a_folder_read_slowly_is_what_it_was(mount):
    """Offsets mean the same until it is closed; `rewinddir` shows what is new."""
    drop = mount.path / "drop"
    for number in range(2000):
        (mount.folder / "drop" / f"{number:04}").touch()
    with os.scandir(drop) as entries:
        first = [next(entries).name for _ in range(10)]
        for name in os.listdir(mount.folder / "drop")[:500]:
            os.unlink(mount.folder / "drop" / name)
        rest = [entry.name for entry in entries]
    assert sorted(first + rest) == [f"{number:04}" for number in range(2000)]
    folder = os.open(drop, os.O_RDONLY)
    try:
        assert len(os.listdir(folder)) == 1500
        (mount.folder / "drop/new").touch()
        assert len(os.listdir(folder)) == 1501  # listdir(fd) rewinds
    finally:
        os.close(folder)


def test_status_files_are_read_by_every_program(mount):
    path = mount.path / "status/lines"
    assert path.stat().st_size == 0
    lines = [b"line %d of the status\n" % i for i in range(10000)]
    assert run("cat", path) == b"".join(lines)
    run("cp", path, mount.folder / "copy")
    assert (mount.folder / "copy").read_bytes() == b"".join(lines)
    assert run("grep", "-c", "line 77", path) == b"111\n"
    assert run("head", "-n", "2", path) == b"".join(lines[:2])
    assert run("tail", "-n", "2", path) == b"".join(lines[-2:])
    assert run("wc", "-l", path).split()[0] == b"10000"
    # One open sees one content, a new one the new.
    with open(mount.path / "status/counts", "rb", buffering=0) as one:
        first = one.read()
        (mount.path / "files/complete").read_bytes()
        one.seek(0)
        assert one.read() == first != (mount.path / "status/counts").read_bytes()


def test_what_has_no_size_before_it_was_read_is_read_whole_and_anywhere(mount, tmp_path):
    path = mount.path / "exports/export.csv"
    assert path.stat().st_size == 0
    whole = path.read_bytes()
    assert whole == b"".join(b"%d,row\n" % number for number in range(100_000))
    for command in (["cat", path], ["dd", f"if={path}", "bs=64k", "status=none"], ["head", "-c", "2000000", path]):
        assert subprocess.run(command, capture_output=True, check=True, timeout=30).stdout == whole
    subprocess.run(["cp", path, tmp_path / "copy"], check=True, timeout=30)
    assert (tmp_path / "copy").read_bytes() == whole
    with path.open("rb") as stream:
        stream.seek(500_000)
        assert stream.read(10) == whole[500_000:500_010]
        stream.seek(5)
        assert stream.read(10) == whole[5:15]
    with pytest.raises(OSError) as caught:
        path.open("r+b")
    assert caught.value.errno == errno.EROFS


def test_attributes(mount):
    path = mount.path / "files/complete"
    found = os.stat(path)
    assert stat.S_ISREG(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o644
    assert (found.st_uid, found.st_gid, found.st_nlink) == (os.getuid(), os.getgid(), 1)
    assert found.st_mtime_ns == found.st_ctime_ns == found.st_atime_ns == MTIME
    assert (found.st_size, found.st_blocks) == (KIND_SIZES["complete"], -(-KIND_SIZES["complete"] // 512))
    assert stat.S_IMODE(os.stat(mount.path).st_mode) == 0o755
    assert stat.S_IMODE(os.stat(mount.path / "status/counts").st_mode) == 0o600  # its own
    # The same, whether it comes with a listing or is asked for.
    with os.scandir(mount.path / "files") as entries:
        inodes = {entry.name: entry.inode() for entry in entries}
    assert inodes["complete"] == found.st_ino > 2**32
    assert os.readlink(mount.path / "links/counts") == "../status/counts"
    assert (mount.path / "links/counts").read_bytes()


def test_extended_attributes(mount):
    path = mount.path / "files/complete"
    names = {"user.pacifica.id", "user.mime_type", "user.pacifica.state"}
    assert set(os.listxattr(path)) == names
    assert os.getxattr(path, "user.pacifica.id") == b"complete"
    assert os.getxattr(path, "user.pacifica.state") == b"cached"
    assert os.getxattr(mount.path / "files/memory", "user.pacifica.state") == b"remote"
    assert os.getxattr(mount.path / "files", "user.pacifica.id") == b"folder"
    assert failure(lambda: os.getxattr(path, "user.other")) == errno.ENODATA
    assert failure(lambda: os.getxattr(path, "security.capability")) in (errno.ENOTSUP, errno.ENODATA)
    assert failure(lambda: os.setxattr(path, "user.other", b"1")) == errno.EROFS
    assert failure(lambda: os.removexattr(path, "user.pacifica.id")) == errno.EROFS
    assert failure(lambda: os.setxattr(mount.path / "drop", "user.other", b"1")) == errno.ENOTSUP


def test_mappings(mount):
    path = mount.path / "files/complete"
    mapped = numpy.memmap(path, numpy.uint8, "r")
    assert bounded("the map", mapped.tobytes) == pattern(KIND_SIZES["complete"])
    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ) as private:
        assert private[MIB : MIB + 9] == pattern(9, MIB)


@pytest.mark.parametrize("name", ["complete", "memory"])
def test_without_the_page_cache(mount, name):
    path = mount.path / "files" / name
    whole = KIND_SIZES[name] // MIB
    found = run("dd", f"if={path}", "iflag=direct", "bs=1M", f"count={whole}", "status=none")
    assert found == pattern(whole * MIB)


def test_names_of_all_sorts(mount):
    folder = mount.path / "names"
    assert set(os.listdir(folder)) == set(NAMES)
    for name in NAMES:
        assert (folder / name).read_bytes() == pattern(10)
        assert (folder / name).stat().st_size == 10
    assert failure(lambda: (folder / "none").stat()) == errno.ENOENT
    assert failure(lambda: (folder / ("y" * 256)).stat()) in (errno.ENOENT, errno.ENAMETOOLONG)


def test_an_outage_is_no_empty_folder_and_no_missing_name(mount):
    assert failure(lambda: os.listdir(mount.path / "down")) == errno.EHOSTDOWN
    assert failure(lambda: os.stat(mount.path / "down/67")) == errno.EHOSTDOWN
    assert "down" in os.listdir(mount.path)


def test_nothing_but_the_drop_takes_changes(mount):
    path, folder = mount.path / "files/complete", mount.path / "files"
    changes = {
        "create": lambda: (folder / "new").touch(),
        "write": lambda: os.open(path, os.O_RDWR),
        "truncate": lambda: os.truncate(path, 1),
        "open O_TRUNC": lambda: os.open(path, os.O_RDONLY | os.O_TRUNC),
        "mkdir": lambda: (folder / "new").mkdir(),
        "rmdir": lambda: folder.rmdir(),
        "unlink": path.unlink,
        "rename": lambda: path.rename(folder / "new"),
        "rename into the drop": lambda: path.rename(mount.path / "drop/new"),
        "chmod": lambda: path.chmod(0o600),
        "chown": lambda: os.chown(path, os.getuid(), os.getgid()),
        "utime": lambda: os.utime(path),
        "symlink": lambda: (folder / "new").symlink_to("complete"),
        "link": lambda: os.link(path, folder / "new"),
        "mknod": lambda: os.mkfifo(folder / "new"),
        "status": lambda: (mount.path / "status/counts").write_text("x"),
    }
    assert {name: failure(change) for name, change in changes.items()} == dict.fromkeys(changes, errno.EROFS)


def test_df(mount):
    assert os.statvfs(mount.path / "drop").f_blocks * 4096 == 1 << 40
    assert os.statvfs(mount.path / "drop").f_bavail * 4096 == 1 << 39
    assert os.statvfs(mount.path / "files").f_namemax == 255
    run("df", mount.path)
