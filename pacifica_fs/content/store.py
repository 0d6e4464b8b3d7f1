"""Blobs on disk.

    ROOT/format                    which layout this is
    ROOT/lock                      held while evicting, by one process at a time
    ROOT/complete/ab/NAME          verified content; see `keys` for NAME; the modification time is the last use
    ROOT/partial/PID-START-…/      what one process is filling
    ROOT/pinned/NAME               what is not to be evicted; see `pins`

Several processes share a root. A complete blob appears by rename, whole; nothing changes it afterwards. It is on disk
then, or has a mark until it is (`durable`).
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import shutil
import threading
import time
from pathlib import Path

from ..clock import Clock
from ..errors import ConfigError, Corrupt, Unreachable
from . import keys
from .durable import Durable, boot_id
from .files import BlobFile, locked
from .index import Index
from .owner import Owner
from .pins import Pins
from .room import InUse, Room

log = logging.getLogger(__name__)
FORMAT = "pacifica-fs content 1\n"
_FORMAT = re.compile(r"pacifica-fs content [0-9]+\n")
NOTED = 30.0  # seconds between two uses of a blob that are noted on disk, for other processes and the next start
_FICLONE = 0x40049409  # linux/fs.h: share the blocks of another file


class Store:
    """The files of the content store; all methods may be called from any thread.

    `root` is made if it is not there. One of another format is started afresh (a cache may be lost, but never misread);
    ConfigError if it is not a content store at all, or cannot be used.
    """

    def __init__(self, root: Path, limit: int, clock: Clock, in_use: InUse, boot: str | None = None) -> None:
        self._root = root
        self._clock = clock
        self._mutex = threading.Lock()
        self._owned: Owner | None = None
        self._serial = 0
        self._closed = False
        self._lock = root / "lock"
        self._durable = Durable(root, boot_id() if boot is None else boot)
        try:
            self._prepare()
        except OSError as error:
            raise ConfigError(f"the cache {root} cannot be used: {error.strerror}") from error
        self.index = Index(root / "complete")
        self.pins = Pins(root / "pinned", limit)
        self.room = Room(limit, self.index, self._lock, self._owner, in_use, self.pins.names)

    def scan(self) -> None:
        """Learn what is there and sweep what dead processes left; may take a while."""
        self._owner().sweep()
        self.index.refresh()

    def open(self, name: str) -> BlobFile | None:
        """A complete blob, as used now; None if there is none.

        Corrupt if its file has another size than when published.
        """
        try:
            file = BlobFile(self.index.path(name), os.O_RDONLY)
        except FileNotFoundError:
            self.index.remove(name)
            return None
        if os.fstat(file.fd).st_size != keys.split(name)[1]:
            file.close()
            raise Corrupt(f"{file.path}: cut short or grown on disk")
        now = self._clock.now()
        if abs(now - (self.index.used(name) or 0)) > NOTED:
            try:
                os.utime(file.fd, (now, now))
            except PermissionError:
                log.debug("%s: not ours, its last use cannot be noted", file.path)
        self.index.add(name, now)
        return file

    def has(self, name: str) -> bool:
        """True where a complete blob is on disk."""
        return os.path.exists(self.index.path(name))

    def create(self, size: int | None = None) -> BlobFile:
        """A new empty partial file; one that is to be published with `size` bytes."""
        folder = self._owner().path
        with self._mutex:
            self._serial += 1
            serial = self._serial
        return BlobFile(
            f"{folder}/{serial}", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0 if size is None else self._durable.mark(size)
        )

    def publish(self, name: str, file: BlobFile, taken: int) -> None:
        """Make the partial `file`, of which the room took `taken` bytes, the complete blob.

        It is on disk for good when this returns; a small one after the next `settle`.
        """
        marked = self._durable.sync(file, taken)
        # It was written to just now: that is its time already, unless another clock is used.
        self._place(name, file.path, noted=abs(self._clock.now() - time.time()) < 1)
        file.path = self.index.path(name)
        if marked:
            self._durable.placed(file.path)
        self.room.give(taken, published=True)

    def settle(self) -> None:
        """Have everything published so far on disk. May take long; OSError."""
        self._durable.settle()

    def discard(self, file: BlobFile, taken: int) -> None:
        """Remove a partial file; who has it open keeps reading."""
        self.unlink(file)
        self.room.give(taken)

    def unlink(self, file: BlobFile) -> None:
        """Remove a partial file without telling the room."""
        try:
            os.unlink(file.path)
        except FileNotFoundError:
            pass

    def adopt(self, name: str, source: Path) -> None:
        """A complete blob from a file that somebody else verified: shared blocks, else a hard link, else a copy.

        NoSpace if it does not fit; OSError as the system says. Somebody who can write `source` afterwards must not.
        """
        size = keys.split(name)[1]
        self.room.take(size, needed=False)
        taken = size
        file = self.create()
        try:
            if not self._clone(source, file):
                try:
                    os.unlink(file.path)
                    os.link(source, file.path)
                except OSError as error:
                    if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
                        raise
                    shutil.copyfile(source, file.path)
            with open(file.path, "rb") as stream:
                if os.fstat(stream.fileno()).st_size != size:
                    raise Corrupt(f"{source}: another size than expected")
                os.fdatasync(stream.fileno())
            self._place(name, file.path, noted=False)
            self.room.give(size, published=True)
            taken = 0
        finally:
            if taken:
                self.discard(file, taken)
            file.close()

    def close(self) -> None:
        """Remove this process's partial files."""
        with self._mutex:
            owner, self._owned, self._closed = self._owned, None, True
        if owner is not None:
            owner.close()

    def _owner(self) -> Owner:
        # Made late: the daemon forks between making the store and using it.
        with self._mutex:
            if self._closed:
                raise Unreachable("the cache is closed")
            if self._owned is None:
                self._owned = Owner(self._root / "partial")
            return self._owned

    def _place(self, name: str, path: str, noted: bool) -> None:
        target = self.index.path(name)
        now = self._clock.now()
        if not noted:
            os.utime(path, (now, now))
        try:
            os.rename(path, target)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
            os.rename(path, target)
        self.index.add(name, now)

    def _clone(self, source: Path, file: BlobFile) -> bool:
        with source.open("rb") as stream:
            try:
                fcntl.ioctl(file.fd, _FICLONE, stream.fileno())
            except OSError:
                return False
        return True

    def _prepare(self) -> None:
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        stamp = self._root / "format"
        content = [self._root / "complete", self._root / "partial"]
        with locked(self._lock):
            try:
                found = stamp.read_text(errors="replace")
            except FileNotFoundError:
                found = ""
            if not (_FORMAT.fullmatch(found) or (found == "" and not any(path.exists() for path in content))):
                raise ConfigError(f"{self._root} is not a content store of pacifica-fs: give [cache] another path")
            if found != FORMAT:
                if found:
                    log.warning("the cache %s has another format (%s): started afresh", self._root, found.strip())
                for path in content:
                    shutil.rmtree(path, ignore_errors=True)
                fresh = self._root / "format.new"
                fresh.write_text(FORMAT)
                fresh.rename(stamp)
            for path in content:
                path.mkdir(mode=0o700, exist_ok=True)
            self._durable.recover(self._root / "complete")
