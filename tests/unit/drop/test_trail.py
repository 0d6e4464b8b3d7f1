"""The digest that follows a writer, and is right or not there."""

import hashlib
import os
import threading

import pytest

from pacifica_fs.drop.disk import Disk
from pacifica_fs.drop.trail import AT_HAND, PIECE, Trail

CONTENT = os.urandom(5 * PIECE + 4321)


class Recording(Disk):
    """Notes what was given to the kernel to write early."""

    def __init__(self):
        super().__init__()
        self.begun = []

    def begin_writing(self, fd, offset, size):
        super().begin_writing(fd, offset, size)
        self.begun.append((offset, size))


@pytest.fixture
def disk():
    disk = Recording()
    yield disk
    disk.close()


@pytest.fixture
def fd(tmp_path):
    number = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    yield number
    os.close(number)


def write(trail, fd, data, offset=0, piece=300_000):
    for start in range(0, len(data), piece):
        part = memoryview(data)[start : start + piece]
        os.pwrite(fd, part, offset + start)
        trail.took(fd, part, offset + start)


@pytest.mark.parametrize("size", [0, 1, AT_HAND, AT_HAND + 1, len(CONTENT)])
def test_what_is_written_in_order_has_its_digest(disk, fd, size):
    trail = Trail(disk, "sha1")
    write(trail, fd, CONTENT[:size])
    found = trail.digest(size)
    assert found is not None and str(found) == f"sha1:{hashlib.sha1(CONTENT[:size]).hexdigest()}"
    assert bool(disk.begun) == (size > AT_HAND)
    assert sum(size for _, size in disk.begun) + AT_HAND >= size
    trail.close()


def test_it_goes_on_after_it_was_asked(disk, fd):
    trail = Trail(disk, "sha256")
    write(trail, fd, CONTENT)
    assert trail.digest(len(CONTENT)) is not None
    write(trail, fd, CONTENT, len(CONTENT))
    found = trail.digest(2 * len(CONTENT))
    assert found is not None and found.value == hashlib.sha256(CONTENT * 2).hexdigest()
    trail.close()


@pytest.mark.parametrize("offset", [0, 1, len(CONTENT) + 1])
def test_a_write_elsewhere_ends_it(disk, fd, offset):
    trail = Trail(disk, "sha1")
    write(trail, fd, CONTENT)
    write(trail, fd, b"x", offset)
    assert trail.broken and trail.digest(len(CONTENT)) is None
    write(trail, fd, b"y", len(CONTENT))
    assert trail.digest(len(CONTENT) + 1) is None
    trail.close()


def test_another_size_is_not_what_was_hashed(disk, fd):
    trail = Trail(disk, "sha1")
    write(trail, fd, CONTENT)
    assert trail.digest(len(CONTENT) - 1) is None
    trail.close()


def test_a_file_that_was_cut_behind_its_back_has_no_digest(fd):
    disk = Disk()
    disk.close()  # no helper: the rest is hashed when it is asked for
    trail = Trail(disk, "sha1")
    write(trail, fd, CONTENT)
    os.ftruncate(fd, 2 * PIECE)
    assert trail.digest(len(CONTENT)) is None and trail.broken


def test_no_descriptor_is_left_however_it_ends(disk, fd):
    before = len(os.listdir("/proc/self/fd"))
    for number in range(20):
        trail = Trail(disk, "sha1")
        write(trail, fd, CONTENT)
        if number % 2:
            trail.digest(len(CONTENT))
        trail.close()
    done = threading.Event()
    for _ in range(2):  # one for each helper: what it did before is over
        disk.behind.later(done.set)
    assert done.wait(30)
    disk.close()
    assert len(os.listdir("/proc/self/fd")) == before
