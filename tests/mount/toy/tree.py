"""A toy tree for the mount's tests: archive folders of scripted files, a status folder, and a drop in a real folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pacifica_fs.errors import Denied, Exists, Invalid, NotFound, Unreachable
from pacifica_fs.model import FileRef
from pacifica_fs.tree.nodes import DIRECTORY, FILE, LINK, Attributes, inode

MTIME = 1_500_000_000_123_456_789


class Remote:
    def __init__(self, name, size):
        self.ref = FileRef("toy", "67", name, (name,), size, MTIME)
        self.ino = inode("remote", name)

    def attributes(self):
        return Attributes(FILE, self.ref.size, MTIME)

    def xattrs(self):
        return {"user.pacifica.id": self.ref.id.encode("utf-8", "surrogateescape"), "user.mime_type": b"text/plain"}


class Virtual:
    def __init__(self, name, render):
        self.ino = inode("virtual", name)
        self._render = render

    def attributes(self):
        return Attributes(FILE | 0o600, 0, MTIME)

    def xattrs(self):
        return {}

    def render(self):
        return self._render()


class Symlink:
    ino = inode("link")
    target = "../status/counts"

    def attributes(self):
        return Attributes(LINK, len(self.target), MTIME)

    def xattrs(self):
        return {}


class Fixed:
    """A folder that never changes."""

    def __init__(self, name, entries):
        self.ino = inode("fixed", name)
        self._entries = dict(entries)

    def attributes(self):
        return Attributes(DIRECTORY, 0, MTIME)

    def xattrs(self):
        return {"user.pacifica.id": b"folder"}

    def entries(self):
        return list(self._entries.items())

    def lookup(self, name):
        try:
            return self._entries[name]
        except KeyError:
            raise NotFound(name) from None


class Down(Fixed):
    """A folder whose server does not answer."""

    def entries(self):
        raise Unreachable("no connection")

    def lookup(self, name):
        raise Unreachable("no connection")


class _Real:
    """A path below the drop."""

    def __init__(self, path: Path):
        self._path = path

    def _lstat(self):
        try:
            return os.lstat(self._path)
        except OSError:
            raise NotFound(str(self._path)) from None

    @property
    def ino(self):
        return inode("drop", str(self._lstat().st_ino))

    def attributes(self):
        found = self._lstat()
        return Attributes(found.st_mode, found.st_size, found.st_mtime_ns, found.st_nlink)

    def xattrs(self):
        return {}

    def set_times(self, mtime_ns):
        os.utime(self._path, ns=(mtime_ns, mtime_ns))

    def set_mode(self, mode):
        os.chmod(self._path, mode)


class DropFile(_Real):
    def open(self, flags):
        if flags & os.O_ACCMODE == os.O_RDONLY:
            raise Denied("the drop is write-only")
        return DropHandle(os.open(self._path, os.O_RDWR | flags & os.O_TRUNC), flags)

    def truncate(self, size):
        os.truncate(self._path, size)


class DropHandle:
    """Refuses, at flush, what contains the word REFUSE at its start."""

    def __init__(self, fd, flags):
        self._fd = fd
        self._readable = flags & os.O_ACCMODE == os.O_RDWR

    def read(self, size, offset):
        if not self._readable:
            raise Denied("the drop is write-only")
        return os.pread(self._fd, size, offset)

    def write(self, data, offset):
        assert offset + os.pwrite(self._fd, data, offset) == offset + len(data)
        return len(data)

    def truncate(self, size):
        os.ftruncate(self._fd, size)

    def flush(self):
        if os.pread(self._fd, 6, 0) == b"REFUSE":
            raise Invalid("refused")

    def fsync(self):
        self.flush()
        os.fsync(self._fd)

    def release(self):
        os.close(self._fd)


class DropFolder(_Real):
    def entries(self):
        return [(name, self.lookup(name)) for name in sorted(os.listdir(self._path))]

    def lookup(self, name):
        path = self._path / name
        try:
            mode = os.lstat(path).st_mode
        except OSError:
            raise NotFound(name) from None
        return DropFolder(path) if stat.S_ISDIR(mode) else DropFile(path)

    def create(self, name, flags, mode):
        path = self._path / name
        fd = os.open(path, os.O_RDWR | os.O_CREAT | flags & (os.O_TRUNC | os.O_EXCL), mode | 0o600)
        return DropFile(path), DropHandle(fd, flags)

    def mkdir(self, name, mode):
        try:
            os.mkdir(self._path / name, mode)
        except FileExistsError:
            raise Exists(name) from None

    def unlink(self, name):
        os.unlink(self._path / name)

    def rmdir(self, name):
        os.rmdir(self._path / name)

    def rename(self, name, to, new):
        os.rename(self._path / name, to._path / new)

    def space(self):
        return 1 << 40, 1 << 39
