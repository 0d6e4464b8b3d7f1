"""The layout of `struct stat`, as this machine has it."""

import ctypes
import ctypes.util
import errno
import os
import stat
from collections import Counter

import pytest

if not ctypes.util.find_library("fuse3"):
    pytest.skip("libfuse3 is missing: apt-get install fuse3", allow_module_level=True)

from pacifica_fs.errors import NotFound, Unreachable
from pacifica_fs.mount import binding
from pacifica_fs.mount.operations import Look, Stat

libc = ctypes.CDLL(None, use_errno=True)


def test_the_layout_is_that_of_the_c_library(tmp_path):
    """What the C library writes about a real file, our packing writes too, field by field."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1025)
    os.chmod(path, 0o640)
    os.utime(path, ns=(1_600_000_000_123_456_789, 1_600_000_000_123_456_789))
    real = binding.fuse.c_stat()
    assert libc.stat(os.fsencode(path), ctypes.byref(real)) == 0
    found = os.stat(path)
    layout = binding.StatLayout(Look(found.st_uid, found.st_gid))
    ours = ctypes.create_string_buffer(layout.size)
    layout.pack_into(ours, 0, Stat(found.st_ino, found.st_mode, found.st_nlink, found.st_size, found.st_mtime_ns))
    packed = binding.fuse.c_stat.from_buffer(ours)
    for name in ("st_ino", "st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_blksize"):
        assert getattr(packed, name) == getattr(real, name), name
    assert packed.st_mtimespec.tv_sec == real.st_mtimespec.tv_sec
    assert packed.st_mtimespec.tv_nsec == real.st_mtimespec.tv_nsec
    assert packed.st_blocks == 3  # in units of 512 bytes, rounded up
    assert layout.size == ctypes.sizeof(real)


@pytest.mark.parametrize("size", [0, 1, 2**31, 2**40 + 7])
@pytest.mark.parametrize("mtime_ns", [0, -1, 1, -(2**40) * 1_000_000_000, 2**33 * 1_000_000_000 + 999_999_999])
def test_extremes(size, mtime_ns):
    layout = binding.StatLayout(Look(2**32 - 2, 2**32 - 2))
    buffer = ctypes.create_string_buffer(2 * layout.size)
    layout.pack_into(buffer, layout.size, Stat(2**63 - 1, stat.S_IFREG | 0o644, 1, size, mtime_ns))
    packed = binding.fuse.c_stat.from_buffer(buffer, layout.size)
    assert (packed.st_size, packed.st_ino, packed.st_uid) == (size, 2**63 - 1, 2**32 - 2)
    assert packed.st_mtimespec.tv_sec * 1_000_000_000 + packed.st_mtimespec.tv_nsec == mtime_ns
    assert 0 <= packed.st_mtimespec.tv_nsec < 1_000_000_000
    assert buffer.raw[: layout.size] == b"\0" * layout.size


def test_a_listing_is_packed_in_a_row():
    layout = binding.StatLayout(Look(1, 2))
    stats = [Stat(number, stat.S_IFREG, 1, number * 10, 0) for number in range(5)]
    listed = binding.Listed([b"%d" % number for number in range(5)], stats, {0}, layout)
    for number in range(5):
        packed = binding.fuse.c_stat.from_address(listed.address + number * listed.size)
        assert (packed.st_ino, packed.st_size) == (number, number * 10)


def test_an_attribute_that_does_not_fit_is_erange():
    buffer = ctypes.create_string_buffer(4)
    assert binding._give(b"12345", buffer, 0) == 5
    assert binding._give(b"12345", buffer, 4) == -errno.ERANGE
    assert binding._give(b"1234", buffer, 4) == 4 and buffer.raw == b"1234"


def test_the_library_is_libfuse3_whatever_the_environment_says():
    assert binding.fuse.fuse_version_major == 3
    assert binding.version().startswith("libfuse 3.")
    assert os.environ.get("FUSE_LIBRARY_NAME") is None or os.environ["FUSE_LIBRARY_NAME"] != "fuse3"


def test_outages_are_logged_once_and_not_without_end(caplog):
    bound = object.__new__(binding.Binding)
    bound._counts, bound._said, bound._said_until = Counter(), set(), 0.0

    def fail(error):
        def operation():
            raise error

        return binding.Binding._wrapper(bound, operation)

    for _ in range(3):
        assert fail(Unreachable("emsl does not answer")) == -errno.EHOSTDOWN
        assert fail(NotFound("no such name")) == -errno.ENOENT
    assert [record.message for record in caplog.records] == ["operation: emsl does not answer"]
    for number in range(200):
        fail(Unreachable(f"file {number}"))
    assert len(caplog.records) <= binding.MOST_SAID + 1
