"""The FUSE library, and nothing else: libfuse3's callbacks in terms of `Operations`.

mfusepy makes the table of callbacks; nearly each of its methods is replaced here, because its own copy data, make a
dictionary for each `stat`, or give no attributes with a listing. What was measured and why each setting is as it is:

* Reads go by pread straight into libfuse's buffer; splicing costs two to three times as much at 1 MiB requests.
* Listings carry attributes (readdirplus), which works only with non-zero offsets.
* 512 threads and 512 background requests: with fewer, waiting readers stop `stat` or reads of other files.
* Never `intr`: its signal kills the daemon on libfuse3. Readers of direct_io files are killable because
  fuse_interrupted() is asked while they wait; of cached files, because the kernel waits for the page then.
* Names and attributes are kept for one second and negative answers not at all: drop and status change by themselves.

Threading: callbacks come from libfuse's threads, up to 512 at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import logging
import os
import time
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import PacificaFSError, to_errno
from .files import OpenFile
from .mounts import SUBTYPE, MountError
from .operations import NAME_MAX, Operations
from .structures import BLOCK, Listing, StatLayout

LIBRARY = "fuse3"
NO_LIBRARY = "libfuse3 is missing: install it (Debian and Ubuntu: apt install fuse3; Fedora: dnf install fuse3-libs)"

THREADS = 512
IDLE_THREADS = 10
BACKGROUND = 512
TIMEOUT = 1.0

_AUTO_INVAL_DATA = 1 << 12
_READDIRPLUS_AUTO = 1 << 14
_READDIR_PLUS = 1
_FILL_DIR_PLUS = 2
_UTIME_NOW, _UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
_PYBUF_READ = 0x100
_EIO, _EINTR, _ERANGE = 5, 4, 34
_LOOP_ENDED = (7, 8)
"""fuse_main_real(): the mount was served, and ended otherwise than by an unmount."""

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def _only_libfuse3() -> Iterator[None]:
    """mfusepy chooses its library by the environment, while it is imported; ours is not the user's to choose."""
    names = ("FUSE_LIBRARY_NAME", "FUSE_LIBRARY_PATH")
    saved = {name: os.environ.pop(name) for name in names if name in os.environ}
    os.environ["FUSE_LIBRARY_NAME"] = LIBRARY
    try:
        yield
    except OSError as error:
        raise MountError(f"{NO_LIBRARY} ({error})") from error
    finally:
        del os.environ["FUSE_LIBRARY_NAME"]
        os.environ.update(saved)


with _only_libfuse3():
    import mfusepy

if mfusepy.fuse_version_major != 3:
    raise MountError(NO_LIBRARY)

# fmt: off
_CALLBACKS = (
    "getattr", "readlink", "mknod", "mkdir", "unlink", "rmdir", "symlink", "rename", "link", "chmod", "chown",
    "truncate", "open", "read", "write", "statfs", "flush", "release", "fsync", "setxattr", "getxattr",
    "listxattr", "removexattr", "opendir", "readdir", "releasedir", "init", "create", "utimens",
)
# fmt: on

# The prototype of the filler, with addresses instead of pointer objects, and without releasing the GIL for each name:
# the filler only copies into a buffer.
_FILLER = ctypes.PYFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_longlong, ctypes.c_int
)


def _never() -> bool:
    return False


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


class Binding(mfusepy.FUSE):  # type: ignore[misc]
    """Serves `operations` at `mountpoint` until it is unmounted; the constructor returns then.

    `on_init` is called once from a thread of libfuse when the kernel speaks for the first time; nothing in the mount
    answers before it returned, and it must not raise. `settings` are options of libfuse. Raises MountError.

    Attributes of this class must not be named like an operation: mfusepy would take them for callbacks.
    """

    def __init__(
        self,
        operations: Operations,
        mountpoint: Path,
        *,
        uid: int,
        gid: int,
        settings: Mapping[str, str | bool],
        on_init: Callable[[], None],
    ) -> None:
        self._ops = operations
        self._on_init = on_init
        self._layout = StatLayout(mfusepy.c_stat, uid, gid)
        self._files: dict[int, OpenFile] = {}
        self._listings: dict[int, tuple[Listing, bool]] = {}
        self._handles = itertools.count(1)
        libfuse = mfusepy._libfuse
        self._interrupted: Callable[[], bool] = lambda: libfuse.fuse_interrupted() != 0
        # use_errno: the number is kept for each thread, whatever Python does in between.
        libc = ctypes.CDLL(None, use_errno=True)
        self._pread = libc.pread64 if hasattr(libc, "pread64") else libc.pread
        self._pread.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_longlong)
        self._pread.restype = ctypes.c_ssize_t
        prototype = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)
        self._view = prototype(("PyMemoryView_FromMemory", ctypes.pythonapi))
        table = types.SimpleNamespace(use_ns=True, **dict.fromkeys(_CALLBACKS, True))
        options = {name: _escaped(value) for name, value in settings.items()}
        try:
            super().__init__(
                table,
                os.fsdecode(mountpoint),
                foreground=True,
                subtype=SUBTYPE,
                max_threads=THREADS,
                max_idle_threads=IDLE_THREADS,
                **options,
            )
        except RuntimeError as error:
            code = error.args[0] if error.args else None
            if code not in _LOOP_ENDED:
                raise MountError(_explain(code, mountpoint)) from error
            _log.info("the FUSE connection was cut (code %s)", code)

    def _wrapper(self, func: Callable[..., Any], *args: Any) -> int:
        """The one guard between Python and libfuse: every error becomes its errno, and nothing else gets out."""
        try:
            return func(*args) or 0
        except PacificaFSError as error:
            _log.debug("%s: %s", func.__name__, error)
            return -to_errno(error)
        except OSError as error:
            _log.debug("%s: %s", func.__name__, error, exc_info=True)
            return -to_errno(error)
        except BaseException:  # noqa: BLE001 (the outermost guard)
            _log.exception("unexpected error in %s%r", func.__name__, args[:1])
            return -_EIO

    def init_fuse_3(self, connection: Any, config: Any) -> None:
        conn, conf = connection.contents, config.contents
        conn.want &= ~(_AUTO_INVAL_DATA | _READDIRPLUS_AUTO)
        conn.max_background = conn.congestion_threshold = BACKGROUND
        conf.use_ino = 1
        conf.attr_timeout = conf.entry_timeout = TIMEOUT
        conf.negative_timeout = 0.0
        # Else a file that is deleted while it is open lives on as `.fuse_hidden…`, and a bundle would take it along.
        conf.hard_remove = 1
        self._on_init()

    # Names and attributes

    def getattr_fuse_3(self, path: bytes | None, buffer: Any, fip: Any) -> int:
        if path is None:
            entry = self._ops.fgetattr(self._files[fip.contents.fh])
        else:
            entry = self._ops.getattr(_text(path))
        ctypes.memmove(buffer, self._layout.pack(entry), self._layout.size)
        return 0

    def readlink(self, path: bytes, buffer: Any, size: int) -> int:
        target = self._ops.readlink(_text(path)).encode("utf-8", "surrogateescape")[: size - 1] + b"\0"
        ctypes.memmove(buffer, target, len(target))
        return 0

    def opendir(self, path: bytes, fip: Any) -> int:
        # The listing is made here, so that offsets mean the same until the directory is closed.
        listing = Listing(self._layout, self._ops.readdir(_text(path)))
        handle = next(self._handles)
        self._listings[handle] = (listing, False)
        fip.contents.fh = handle
        return 0

    def readdir_fuse_3(self, path: bytes, buffer: Any, filler: Any, offset: int, fip: Any, flags: int) -> int:
        handle = fip.contents.fh
        listing, begun = self._listings[handle]
        if offset == 0:
            if begun:  # rewinddir(3) shows what is there now
                listing = Listing(self._layout, self._ops.readdir(_text(path)))
            self._listings[handle] = (listing, True)
        fill = _FILLER(ctypes.cast(filler, ctypes.c_void_p).value or 0)
        plus = _FILL_DIR_PLUS if flags & _READDIR_PLUS else 0
        names, size = listing.names, self._layout.size
        address = listing.address + offset * size
        for index in range(offset, len(names)):
            if fill(buffer, names[index], address, index + 1, plus):
                break
            address += size
        return 0

    def releasedir(self, path: bytes, fip: Any) -> int:
        self._listings.pop(fip.contents.fh, None)
        return 0

    def statfs(self, path: bytes, buffer: Any) -> int:
        total, free = self._ops.space(_text(path)) or (0, 0)
        found = buffer.contents
        found.f_bsize = found.f_frsize = BLOCK
        found.f_blocks = total // BLOCK
        found.f_bfree = found.f_bavail = free // BLOCK
        found.f_namemax = NAME_MAX
        return 0

    def getxattr(self, path: bytes, name: bytes, value: Any, size: int, *_: Any) -> int:
        return _answer(self._ops.getxattr(_text(path), _text(name)), value, size)

    def listxattr(self, path: bytes, names: Any, size: int) -> int:
        found = self._ops.listxattr(_text(path))
        return _answer(b"".join(name.encode() + b"\0" for name in found), names, size)

    def setxattr(self, path: bytes, *_: Any) -> None:
        self._ops.setxattr(_text(path))

    def removexattr(self, path: bytes, name: bytes) -> None:
        self._ops.setxattr(_text(path))

    # Open files

    def _opened(self, file: OpenFile, fip: Any) -> int:
        handle = next(self._handles)
        self._files[handle] = file
        info = fip.contents
        info.fh = handle
        if file.direct:
            info.direct_io = 1
        elif file.keep:
            info.keep_cache = 1
        return 0

    def open(self, path: bytes, fip: Any) -> int:
        return self._opened(self._ops.open(_text(path), fip.contents.flags), fip)

    def create(self, path: bytes, mode: int, fip: Any) -> int:
        return self._opened(self._ops.create(_text(path), fip.contents.flags, mode), fip)

    def read(self, path: bytes | None, buffer: Any, size: int, offset: int, fip: Any) -> int:
        file = self._files[fip.contents.fh]
        reader = file.reader
        if reader is None:
            data = file.read(size, offset)
            ctypes.memmove(buffer, data, len(data))
            return len(data)
        address = ctypes.addressof(buffer.contents)
        fd = reader.fd  # asked for each read: content becomes complete, or is found to be bad, while it is open
        if fd < 0:
            return reader.read_into(address, size, offset, self._interrupted if file.direct else _never)
        return self._read_exactly(fd, address, min(size, max(0, reader.size - offset)), offset)

    def _read_exactly(self, fd: int, address: int, size: int, offset: int) -> int:
        """All `size` bytes: a shorter answer would be silent corruption in the page cache."""
        done = 0
        while done < size:
            count = self._pread(fd, address + done, size - done, offset + done)
            if count > 0:
                done += count
            elif count == 0 or ctypes.get_errno() != _EINTR:
                _log.error("complete content is shorter than its size: %d of %d bytes at %d", done, size, offset)
                return -_EIO
        return done

    def write(self, path: bytes | None, buffer: Any, size: int, offset: int, fip: Any) -> int:
        if not size:
            return 0
        with self._view(ctypes.addressof(buffer.contents), size, _PYBUF_READ) as data:
            return self._files[fip.contents.fh].write(data, offset)

    def flush(self, path: bytes | None, fip: Any) -> None:
        self._files[fip.contents.fh].flush()

    def fsync(self, path: bytes | None, datasync: int, fip: Any) -> None:
        self._files[fip.contents.fh].fsync()

    def release(self, path: bytes | None, fip: Any) -> None:
        self._files.pop(fip.contents.fh).release()

    def truncate_fuse_3(self, path: bytes | None, size: int, fip: Any) -> None:
        file = self._files.get(fip.contents.fh) if fip else None
        if file is not None:
            file.truncate(size)
        elif path is not None:
            self._ops.truncate(_text(path), size)

    # Changes of names and attributes

    def mkdir(self, path: bytes, mode: int) -> None:
        self._ops.mkdir(_text(path), mode)

    def unlink(self, path: bytes) -> None:
        self._ops.unlink(_text(path))

    def rmdir(self, path: bytes) -> None:
        self._ops.rmdir(_text(path))

    def rename_fuse_3(self, old: bytes, new: bytes, flags: int) -> None:
        self._ops.rename(_text(old), _text(new), flags)

    def mknod(self, path: bytes, mode: int, device: int) -> None:
        self._ops.special(_text(path))

    def symlink(self, target: bytes, path: bytes) -> None:
        self._ops.special(_text(path))

    def link(self, old: bytes, path: bytes) -> None:
        self._ops.special(_text(path))

    def chmod_fuse_3(self, path: bytes | None, mode: int, fip: Any) -> None:
        if path is not None:
            self._ops.chmod(_text(path), mode)

    def chown_fuse_3(self, path: bytes | None, uid: int, gid: int, fip: Any) -> None:
        if path is not None:
            self._ops.chown(_text(path))

    def utimens_fuse_3(self, path: bytes | None, times: Any, fip: Any) -> None:
        if path is None:
            return
        time_ns: int | None = time.time_ns()
        if times:
            given = times.contents.modtime
            if given.tv_nsec == _UTIME_OMIT:
                time_ns = None
            elif given.tv_nsec != _UTIME_NOW:
                time_ns = given.tv_sec * 1_000_000_000 + given.tv_nsec
        self._ops.utimens(_text(path), time_ns)


def _answer(data: bytes, buffer: Any, size: int) -> int:
    """The convention of getxattr(2) and listxattr(2): without a buffer only the length."""
    if size == 0 or not buffer:
        return len(data)
    if len(data) > size:
        return -_ERANGE
    ctypes.memmove(buffer, data, len(data))
    return len(data)


def _escaped(value: str | bool) -> str | bool:
    return value.replace("\\", "\\\\").replace(",", "\\,") if isinstance(value, str) else value


def _explain(code: object, mountpoint: Path) -> str:
    # The numbers of fuse_main_real() in libfuse3's lib/helper.c.
    what = {
        1: "libfuse does not know an option of these",
        2: "the mount point is missing",
        3: "libfuse does not know an option of these",
        4: "the kernel or fusermount3 refused (a container needs --device /dev/fuse --cap-add SYS_ADMIN)",
    }.get(code if isinstance(code, int) else 0, f"libfuse gave up with code {code}")
    return f"cannot mount {mountpoint}: {what}; libfuse's own words are in the lines before"
