"""Nodes in memory: a read-only part, a writable folder, and content without a store."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace

from pacifica_fs.errors import Denied, Exists, NotFound
from pacifica_fs.model import Digest, FileRef
from pacifica_fs.tree.inside import ArchiveFile
from pacifica_fs.tree.nodes import DIRECTORY, FILE, Attributes, inode
from pacifica_fs.tree.virtual import ListedFolder, Symlink, TextFile


class ToyHandle:
    def __init__(self, node, flags):
        self.node, self.flags, self.calls = node, flags, node.calls

    def read(self, size, offset):
        if self.flags & os.O_ACCMODE != os.O_RDWR:
            raise Denied("write-only")
        return bytes(self.node.data[offset : offset + size])

    def write(self, data, offset):
        self.node.data[offset : offset + len(data)] = data
        return len(data)

    def truncate(self, size):
        self.calls.append(("truncate", size))

    def flush(self):
        self.calls.append("flush")

    def fsync(self):
        self.calls.append("fsync")

    def release(self):
        self.calls.append("release")


class ToyFile:
    def __init__(self, name):
        self.ino, self.data, self.calls = inode("toy", name), bytearray(), []

    def attributes(self):
        return Attributes(FILE | 0o600, len(self.data), 5)

    def xattrs(self):
        return {"user.pacifica.bundle": b"b"}

    def open(self, flags):
        if flags & os.O_ACCMODE == os.O_RDONLY:
            raise Denied("write-only")
        return ToyHandle(self, flags)

    def truncate(self, size):
        self.calls.append(("truncate", size))

    def set_times(self, mtime_ns):
        self.calls.append(("times", mtime_ns))

    def set_mode(self, mode):
        self.calls.append(("mode", mode))


class ToyFolder:
    """A writable folder."""

    def __init__(self):
        self.ino, self.children, self.calls = inode("toy folder"), {}, []

    def attributes(self):
        return Attributes(DIRECTORY | 0o700)

    def xattrs(self):
        return {}

    def entries(self):
        return list(self.children.items())

    def lookup(self, name):
        try:
            return self.children[name]
        except KeyError:
            raise NotFound(name) from None

    def create(self, name, flags, mode):
        if name in self.children and flags & os.O_EXCL:
            raise Exists(name)
        node = self.children.setdefault(name, ToyFile(name))
        return node, ToyHandle(node, flags)

    def mkdir(self, name, mode):
        self.children[name] = ToyFolder()

    def unlink(self, name):
        del self.children[name]

    def rmdir(self, name):
        del self.children[name]

    def rename(self, name, to, new):
        to.children[new] = self.children.pop(name)

    def set_times(self, mtime_ns):
        self.calls.append(("times", mtime_ns))

    def set_mode(self, mode):
        self.calls.append(("mode", mode))

    def space(self):
        return 1000, 10


class ToyReading:
    def __init__(self, caching="KEEP"):
        self.caching = SimpleNamespace(name=caching)
        self.fd, self.size, self.closed = -1, 7, False

    def read_into(self, address, size, offset, interrupted=None):
        raise OSError(errno.EIO, "toy")

    def close(self):
        self.closed = True


class ToyContent:
    def __init__(self):
        self.caching, self.opened, self.requested = "KEEP", [], []

    def open(self, ref, path, among=None):
        self.opened.append((ref.id, path, ToyReading(self.caching)))
        return self.opened[-1][2]

    def size(self, ref):
        return 4711 if ref.id == "resized" else ref.size

    def state(self, ref):
        return "remote"

    def request(self, ref, data, allowed):
        self.requested.append((ref.id, data, allowed))
        return b"evict" in data


def archive_file(id="1", name="file", size=7):
    return ArchiveFile(FileRef("site", "7", id, (name,), size, 123, Digest("sha1", "0" * 40)))


def tree():
    """`/site/7/{file,resized}`, `/site/link`, `/status/now`, `/drop/site`; and the writable folder."""
    drop = ToyFolder()
    transaction = ListedFolder(("7",), lambda: [("file", archive_file()), ("resized", archive_file("resized"))])
    site = ListedFolder(("site",), lambda: [("7", transaction), ("link", Symlink(("l",), "7/file"))])
    status = ListedFolder(("status",), lambda: [("now", TextFile(("now",), lambda: "now é"))])
    folder = ListedFolder(("drop",), lambda: [("site", drop)])
    root = ListedFolder(("/",), lambda: [("site", site), ("status", status), ("drop", folder)])
    return root, drop
