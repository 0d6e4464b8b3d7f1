"""What the probes of operations work with: a mount with something in each region of its tree, and small helpers."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import socket

import pytest

from tests.mount.survival import eventually, tables

DATA = b"0123456789" * 1000
libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100


class World:
    """A mount with something in each region of its tree. `new()` is a fresh file in an open bundle."""

    def __init__(self, mounted, site, outside):
        self._mounted, self._site = mounted, site
        self.mount, self.outside = mounted(configuration(site)), outside
        mount = self.mount
        self.top = mount.path
        self.drop = self.top / "drop/here"
        self.bundle = self.drop / "open"
        self.sent = self.drop / "sent"
        self.status = self.top / "status/cache.json"
        self.events = self.top / "site/events"
        self.there = self.top / "drop/there"
        self.again, self.held = self.drop / "again", self.drop / "held"
        self.problems = self.held / "PROBLEMS.txt"
        self._count = 0
        self.outside.mkdir()
        (self.outside / "file").write_bytes(DATA)
        for bundle in (self.sent, self.again):
            (bundle / "sub").mkdir(parents=True)
            (bundle / "sub/file").write_bytes(DATA)
            (bundle / ".commit").touch()
        self.held.mkdir()
        (self.held / "metadata.json").write_text('{"projct": "1234a"}')
        (self.held / ".commit").touch()
        number = mount.wait_state("sent", "done", 60)["transaction"]
        mount.wait_state("again", "done", 60)
        mount.wait_state("held", "held", 60)
        self.folder = self.top / "here/transactions" / str(number)
        self.file = self.folder / "sub/file"
        self.bundle.mkdir()

    def new(self, data=DATA):
        self._count += 1
        path = self.bundle / f"file{self._count}"
        path.write_bytes(data)
        return path

    def name(self, folder=None):
        self._count += 1
        return (folder or self.bundle) / f"name{self._count}"

    def folder_of(self, folder=None):
        path = self.name(folder)
        path.mkdir()
        return path

    def follow_on(self, work):
        """`work` begins a bundle that follows what was sent."""
        before = self.mount.status("again")["id"]
        work()
        eventually("another bundle", lambda: self.mount.status("again")["id"] != before)

    def outage(self, work):
        """`work` while the site is down."""
        self._site.down()
        work()

    @property
    def following(self):
        """An open bundle of a mount that takes links."""
        mount = self._mounted({"drop": {"symlinks": "follow"}})
        (mount.path / "drop/here/open").mkdir()
        return mount.path / "drop/here/open"

    @property
    def writable(self):
        """What access(2) says of a file with mode 0644: the kernel asks the modes alone."""
        return True


def configuration(site):
    """Two local archives and a scripted site; the drop takes 32 MiB and seals nothing by itself."""
    given = tables(site, read_wait="2s")
    given["archives"]["there"] = {"kind": "local", "path": ""}
    return {**given, "drop": {"limit": "32 MiB", "quiet": "1h", "quiet_unmarked": "1h"}}


def opened(path, flags, work=lambda fd: None):
    """`work` with a descriptor of it."""
    fd = os.open(path, flags, 0o644)
    try:
        return work(fd)
    finally:
        os.close(fd)


def put(path, flags, *work):
    return opened(path, flags, lambda fd: [each(fd) for each in work])


def mapped(path, flags, access):
    def work(fd):
        with mmap.mmap(fd, 10, access=access) as memory:
            return bytes(memory)

    return opened(path, flags, work)


def locked(path, flags):
    def work(fd):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with open(path, "rb" if flags == os.O_RDONLY else "ab") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)

    opened(path, flags, work)


def same(found, expected):
    assert found == expected, f"{found!r} and not {expected!r}"


def event(w, data=b"{}"):
    w.name(w.events).write_bytes(data)


def free(path):
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def socketed(path):
    # The path of a socket is at most 108 bytes long.
    here = os.open(path.parent, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(f"/proc/self/fd/{here}/{path.name}")
    finally:
        os.close(here)


def timed(path):
    os.utime(path, ns=(1, 1_500_000_000_123_456_789))
    return path.stat().st_mtime_ns


def failing(work):
    try:
        work()
    except OSError as error:
        return error.errno
    return None


def exchange(one, two):
    """renameat2 with RENAME_EXCHANGE."""
    called(libc.renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(two), 2))


def allocate(fd, size):
    """fallocate(2) itself: the C library's posix_fallocate would write zeros in its place."""
    called(libc.fallocate(fd, 0, ctypes.c_long(0), ctypes.c_long(size)))


def called(result):
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def put_range(source, target):
    """copy_file_range(2)."""
    with open(source, "rb") as one, open(target, "wb") as two:
        os.copy_file_range(one.fileno(), two.fileno(), len(DATA))
