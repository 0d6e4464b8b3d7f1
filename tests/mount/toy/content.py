"""A content store that does what the name of a file says.

`complete*`: a descriptor of a real file. `memory*`: bytes by read_into. `blocked*`: waits until the test lets go or
the mount stops. `fails*`: EIO from 2 MiB on. `again*`: an OSError EAGAIN from 2 MiB on. `slow*`: 50 ms for each read.
`bug*`: an error that nobody foresaw. `short*`: complete, but the real file is shorter. `becomes*`: blocked at first,
complete when the test lets go. A name that goes on with `-direct` is opened DIRECT, `-fresh` FRESH.

numpy brings threads of its own, made before the mount: they must not take its signals.
"""

from __future__ import annotations

import ctypes
import enum
import errno
import os
import threading
import time

import numpy

from pacifica_fs.errors import Corrupt, TooBusy, Unreachable

MIB = 1 << 20
WAITING = 256


class Caching(enum.Enum):
    KEEP = 1
    FRESH = 2
    DIRECT = 3


def pattern(size, offset=0):
    """Bytes that differ from place to place."""
    first = offset // 8
    words = numpy.arange(first, (offset + size) // 8 + 1, dtype="<u8").tobytes()
    return words[offset - first * 8 :][:size]


class Content:
    def __init__(self, folder, counts):
        self.counts = counts
        self.let_go = threading.Event()
        self.stopped = threading.Event()
        self.waiting = 0
        self.condition = threading.Condition()
        self._folder = folder
        self._lock = threading.Lock()
        self.patience = 60.0

    def path_of(self, ref):
        """The real file of complete content."""
        path = self._folder / f"{ref.size}{'-short' if ref.id.startswith('short') else ''}"
        with self._lock:
            if not path.exists():
                with open(path, "wb") as stream:
                    end = ref.size // 2 if ref.id.startswith("short") else ref.size
                    for offset in range(0, end, MIB):
                        stream.write(pattern(min(MIB, end - offset), offset))
        return path

    def open(self, ref, path, among=None):
        self.counts["opened"] += 1
        return Reader(self, ref)

    def size(self, ref):
        return ref.size

    def state(self, ref):
        return "cached" if ref.id.startswith("complete") else "remote"

    def wait(self, interrupted):
        """Until the test lets go, the mount stops, the reader is killed or the deadline comes."""
        with self.condition:
            if self.waiting >= WAITING:
                raise TooBusy("too many wait")
            self.waiting += 1
            try:
                deadline = time.monotonic() + self.patience
                while not self.let_go.is_set():
                    if self.stopped.is_set() or time.monotonic() > deadline:
                        raise Unreachable("the mount stops")
                    if interrupted is not None and interrupted():
                        raise InterruptedError(errno.EINTR, "interrupted")
                    self.condition.wait(self.patience if interrupted is None else 0.2)
            finally:
                self.waiting -= 1

    def tell(self, event):
        """Set one of the events, and wake who waits."""
        event.set()
        with self.condition:
            self.condition.notify_all()


class Reader:
    def __init__(self, content, ref):
        self._content = content
        self._ref = ref
        self._fd = (
            os.open(content.path_of(ref), os.O_RDONLY) if ref.id.startswith(("complete", "short", "becom")) else -1
        )
        self.size = ref.size
        self.caching = Caching.DIRECT if "-direct" in ref.id else Caching.FRESH if "-fresh" in ref.id else Caching.KEEP

    @property
    def fd(self):
        self._content.counts["fd"] += 1
        if self._ref.id.startswith("becom") and not self._content.let_go.is_set():
            return -1
        return self._fd

    def read(self, size, offset, interrupted):
        size = min(size, max(0, self.size - offset))
        kind = self._ref.id.split("-")[0].rstrip("0123456789")
        if kind in ("blocked", "becomes"):
            self._content.wait(interrupted)
        elif kind == "short":
            raise Corrupt("is shorter than it says")
        elif kind == "fails" and offset + size > 2 * MIB:
            raise Corrupt("does not match its digest")
        elif kind == "again" and offset + size > 2 * MIB:
            raise BlockingIOError(errno.EAGAIN, "again")
        elif kind == "slow":
            time.sleep(0.05)
        elif kind == "bug":
            raise RuntimeError("nobody foresaw this")
        return pattern(size, offset)

    def read_into(self, address, size, offset, interrupted=None):
        data = self.read(size, offset, interrupted)
        ctypes.memmove(address, data, len(data))
        return len(data)

    def close(self):
        self._content.counts["closed"] += 1
        if self._fd >= 0:
            os.close(self._fd)
