"""Open files of a bundle: what makes `close` durable, and the digest that runs along.

A file carries MARK in its mode from its first byte until it is closed. At close data and name are made durable first
(two fsyncs at once, which share a commit of the journal), and the mark is cleared then, so nothing can ever show a file
without its mark and without its data. The cleared mark itself is left to the file system's next commit: a power cut in
the seconds before it makes a whole file look cut off, which holds its bundle and loses nothing; another fsync for each
file would cost as much as the first. A closed file that is written again gets the mark, durably, before the first byte.
"""

from __future__ import annotations

import os
import threading

from ..errors import Denied, PacificaFSError
from ..tree.nodes import Attributes
from .bundle import MARK, SpoolBundle
from .disk import translating
from .look import shown
from .room import Room
from .trail import Trail


class OpenFile:
    """What all handles of one file share. `path` follows renames; the lock is held for single disk calls."""

    def __init__(self, bundle: SpoolBundle, path: str, ino: int, size: int, algorithm: str, marked: bool) -> None:
        self.bundle, self.path, self.ino, self.size = bundle, path, ino, size
        self.lock = threading.Lock()
        self.writers = 0
        self.marked = marked
        self.dirty = marked
        self.unsynced = marked
        self.nameless = False
        self.touched = marked
        self.broken: OSError | None = None
        self.algorithm = algorithm
        self.trail = Trail(bundle.disk, algorithm) if size == 0 else None

    def begin(self, fd: int) -> None:
        """The first change since the last close; with the lock held."""
        if self.dirty:
            return
        if not self.marked:
            disk = self.bundle.disk
            disk.chmod(fd, (os.fstat(fd).st_mode & 0o777) | MARK)
            self.marked = True
            disk.fsync(fd)
        self.dirty = self.touched = True

    def hash(self, fd: int, data: memoryview, offset: int) -> None:
        """Take `data`, which was just written, into the digest as long as the file is written in order."""
        if self.trail is not None:
            self.trail.took(fd, data, offset)
            if self.trail.broken:
                self.cut(-1)

    def cut(self, size: int) -> None:
        """The size was set."""
        if self.trail is not None and size != self.trail.written:
            self.trail.close()
            self.trail = None
        if size == 0 and self.trail is None:
            self.trail = Trail(self.bundle.disk, self.algorithm)

    def sync(self, fd: int) -> None:
        """Data and name durable, the mark stays; with the lock held."""
        if self.broken is not None:
            raise self.broken
        try:
            self._keep(fd)
        except OSError as error:
            self._break(fd, error)
            raise

    def finish(self, fd: int) -> None:
        """Durable, and closed; with the lock held. Does nothing without changes."""
        if self.broken is not None:
            raise self.broken
        if not self.dirty:
            return
        try:
            self._keep(fd)
            self.bundle.disk.chmod(fd, os.fstat(fd).st_mode & 0o777)
            self.marked = False
        except OSError as error:
            self._break(fd, error)
            raise
        self.dirty = False

    def remember(self, fd: int) -> None:
        """Keep the digest of a closed file; may take as long as hashing what its writer was ahead. Without the lock."""
        trail = self.trail
        digest = trail.digest(self.size) if trail is not None and not self.dirty else None
        if digest is None:
            return
        with self.lock:
            state = os.fstat(fd)  # as late as possible: some programs set the time after they closed the file
            if trail is not None and trail is self.trail and not self.dirty and trail.written == state.st_size:
                self.bundle.digests[self.ino] = (state.st_size, state.st_mtime_ns, digest)

    def _keep(self, fd: int) -> None:
        """Data and name durable."""
        disk = self.bundle.disk
        if self.unsynced and self.nameless:
            # A name without its data is harmless as long as it has the mark.
            disk.together(lambda: disk.fsync(fd), lambda: self._sync_name(fd))
        elif self.unsynced:
            disk.fsync(fd)
        else:
            self._sync_name(fd)
        self.unsynced = False

    def _sync_name(self, fd: int) -> None:
        while self.nameless:
            path = self.path
            try:
                self.bundle.sync_names(path)
            except FileNotFoundError:
                # Renamed meanwhile: look again. Removed meanwhile: there is no name to keep.
                if self.path == path and os.fstat(fd).st_nlink:
                    raise
                self.nameless = self.path != path
            else:
                self.nameless = False

    def _break(self, fd: int, error: OSError) -> None:
        # After a failed fsync the kernel takes the pages for clean, so a second one would succeed without the data:
        # nothing but writing the file anew can make it good.
        self.broken = error
        try:
            self.bundle.disk.chmod(fd, (os.fstat(fd).st_mode & 0o777) | MARK)
            self.marked = True
        except OSError:
            pass


class FileHandle:
    """An open file, for `tree.nodes.Handle`."""

    def __init__(self, file: OpenFile, fd: int, room: Room, reads: bool) -> None:
        self._file, self._fd, self._room, self._reads = file, fd, room, reads

    @translating
    def read(self, size: int, offset: int) -> bytes:
        """What is in the spool; Denied unless opened read-write."""
        if not self._reads:
            raise Denied("files in drop/ can only be written")
        parts, data = [], b"\0"
        while size and data:
            data = os.pread(self._fd, size, offset)
            parts.append(data)
            size, offset = size - len(data), offset + len(data)
        return b"".join(parts)

    @translating
    def write(self, data: memoryview, offset: int) -> int:
        """All of `data`; NoSpace before anything is written, where the limit is known."""
        file = self._file
        with file.lock:
            file.begin(self._fd)
            end = offset + len(data)
            growth = end - file.size
            if growth > 0:
                self._room.take(growth)
                file.size = end
            file.unsynced = True
            try:
                file.bundle.disk.write(self._fd, data, offset)
            except OSError:
                file.size = os.fstat(self._fd).st_size
                self._room.take(min(0, file.size - end))
                file.cut(-1)
                raise
            file.hash(self._fd, data, offset)
        file.bundle.touch(file.path)
        return len(data)

    @translating
    def truncate(self, size: int) -> None:
        """Set the size; a file that has it already is not touched."""
        file = self._file
        with file.lock:
            if size == file.size and not (size == 0 and file.dirty):
                return
            file.begin(self._fd)
            self._room.take(size - file.size)
            file.unsynced = True
            file.bundle.disk.truncate(self._fd, size)
            file.size = size
            file.cut(size)
        file.bundle.touch(file.path)

    @translating
    def flush(self) -> None:
        """Durable and closed when it returns; nothing without new writes."""
        with self._file.lock:
            self._file.finish(self._fd)

    @translating
    def fsync(self) -> None:
        """Durable when it returns; the file counts as being written on."""
        with self._file.lock:
            self._file.sync(self._fd)

    @translating
    def attributes(self) -> Attributes:
        """Of the file, whatever it is called by now."""
        return shown(os.fstat(self._fd), self._file.bundle.journal.uid)

    def release(self) -> None:
        """The last descriptor is gone."""
        file = self._file
        bundle = file.bundle
        try:
            try:
                with file.lock:
                    file.finish(self._fd)
                file.remember(self._fd)
            except (OSError, PacificaFSError):
                # The program was told by flush; the mark stays, and holds the bundle.
                pass
            bundle = self._leave()
        finally:
            os.close(self._fd)
        if file.touched:
            bundle.closed(file.path)
        else:
            bundle.stirred(bundle)

    def _leave(self) -> SpoolBundle:
        """One writer less; the bundle in which the file is now."""
        file = self._file
        while True:
            bundle = file.bundle
            with bundle.lock:
                if file.bundle is not bundle:
                    continue  # a rename took it to another bundle meanwhile
                file.writers -= 1
                if file.writers == 0 and bundle.handles.get(file.ino) is file:
                    del bundle.handles[file.ino]
                    if file.trail is not None:
                        file.trail.close()
                return bundle
