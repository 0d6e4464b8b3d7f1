"""Open files of the store, and one lock between processes."""

from __future__ import annotations

import ctypes
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import Corrupt, Unreachable
from ..model import Digest


class BlobFile:
    """An open file of the store. Its blob closes it once nobody reads or fills it.

    A number given anew must never be used.
    """

    __slots__ = ("fd", "marked", "path")

    def __init__(self, path: str, flags: int, mark: int = 0) -> None:
        """`mark` are permission bits of a new file besides its owner's."""
        self.path = path
        self.marked = bool(mark)
        self.fd = os.open(path, flags | os.O_CLOEXEC, 0o600 | mark)

    def close(self) -> None:
        """Close the descriptor; a second call does nothing."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


def read_into(fd: int, address: int, size: int, offset: int) -> None:
    """Exactly `size` bytes at `offset` of `fd` into memory at `address`; Corrupt if the file ends before."""
    buffer = memoryview((ctypes.c_char * size).from_address(address)).cast("B")
    done = os.preadv(fd, [buffer], offset)
    while done < size:
        count = os.preadv(fd, [buffer[done:]], offset + done)
        if count == 0:
            raise Corrupt("the cached content is shorter than it was: something cut its file short")
        done += count


def read(fd: int, size: int, offset: int) -> bytes:
    """Exactly `size` bytes at `offset` of `fd`; Corrupt if the file ends before."""
    data = os.pread(fd, size, offset)
    while len(data) < size:
        more = os.pread(fd, size - len(data), offset + len(data))
        if not more:
            raise Corrupt("the cached content is shorter than it was: something cut its file short")
        data += more
    return data


def digest_of(fd: int, digest: Digest) -> str:
    """The hex value of `digest`'s algorithm over the whole file."""
    hasher = digest.hasher()
    offset = 0
    while data := os.pread(fd, 2**20, offset):
        hasher.update(data)
        offset += len(data)
    return hasher.hexdigest()


def write(fd: int, data: bytes | memoryview, offset: int) -> None:
    """All of `data` at `offset` of `fd`; OSError as the system says."""
    view = memoryview(data).cast("B")
    while view:
        count = os.pwrite(fd, view, offset)
        view = view[count:]
        offset += count


@contextmanager
def locked(path: Path, seconds: float = 10.0) -> Iterator[None]:
    """Hold the lock file `path` against other processes and threads; Unreachable if nobody gives it up in `seconds`.

    Real time and not an injected clock: another process does not know ours.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise Unreachable(
                        f"the cache's lock {path} was held by another process for {seconds:g} s"
                    ) from None
                time.sleep(0.005)
        yield
    finally:
        os.close(fd)
