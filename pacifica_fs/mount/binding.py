"""The FUSE library (mfusepy on libfuse3), and nothing else: requests are translated, `operations` decides.

The library's own methods are overridden where measurements say so: READ goes straight into libfuse's buffer, READDIR
gives attributes along (with offsets that are not zero, without which libfuse drops them), and no struct is built from
a dict. Requests come on libfuse's threads, many at once. State of the class must not be named like a FUSE operation:
the library would call it. The library has to be chosen when it is imported, so this module does that.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import itertools
import logging
import operator
import os
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

from ..errors import NotFound, PacificaFSError, to_errno
from .operations import Operations, Stat


def _load() -> Any:
    """mfusepy on libfuse3, whatever the user's environment says. OSError if the library is missing."""
    names = ("FUSE_LIBRARY_PATH", "FUSE_LIBRARY_NAME")  # it looks for the path first
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    os.environ["FUSE_LIBRARY_NAME"] = "fuse3"
    try:
        import mfusepy
    finally:
        del os.environ["FUSE_LIBRARY_NAME"]
        os.environ.update(before)
    if mfusepy.fuse_version_major != 3:
        raise OSError(f"mfusepy was imported before, with libfuse {mfusepy.fuse_version_major}")
    return mfusepy


fuse = _load()
_thread = threading.local()
log = logging.getLogger(__name__)
libc = ctypes.CDLL(None, use_errno=True)
libc.pread.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64)
libc.pread.restype = ctypes.c_ssize_t

AUTO_INVAL_DATA, READDIRPLUS_AUTO, PARALLEL_DIROPS = 1 << 12, 1 << 14, 1 << 18
PLUS = 1 << 0  # of readdir's flags
FILL_PLUS = 1 << 1
NOREPLACE = 1
NOW, OMIT = (1 << 30) - 1, (1 << 30) - 2
THREADS = BACKGROUND = 512
ATTRIBUTES_FOR = 1.0
BLOCK = 512
ARENA_MAX, MMAP_THRESHOLD, TRIM_THRESHOLD = -8, -3, -1  # of mallopt
SAID_FOR, MOST_SAID = 60.0, 30  # in so many seconds so many errors are logged, each once
# What a program shows of these says neither which server it was nor what to do.
TOLD = frozenset({errno.EIO, errno.EHOSTDOWN, errno.ETIMEDOUT, errno.EBUSY, errno.ENOSPC, errno.ESTALE})
SCALARS = ("st_ino", "st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_blocks", "st_blksize")
TIMES = ("st_atimespec", "st_mtimespec", "st_ctimespec")
CODES = {4: "I", 8: "q", 16: "qq"}
# PYFUNCTYPE: the GIL is kept, since the filler only copies; else it changes hands for each of 20,000 names.
FILLER = ctypes.PYFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
)


class Registered:
    """Tells the library which operations there are; they are methods of `Binding`."""

    use_ns = True
    getattr = readlink = statfs = True
    getxattr = listxattr = setxattr = removexattr = True
    opendir = readdir = releasedir = True
    open = create = read = write = flush = fsync = release = True
    mkdir = unlink = rmdir = rename = symlink = link = mknod = True
    truncate = chmod = chown = utimens = init = True


class StatLayout:
    """Packs `struct stat` as this machine lays it out, without a Python object for each field."""

    def __init__(self, look: Any) -> None:
        kind = fuse.c_stat
        self.size = ctypes.sizeof(kind)
        fields = [getattr(kind, name) for name in SCALARS] + [getattr(kind, name) for name in TIMES]
        order = sorted(range(len(fields)), key=lambda number: fields[number].offset)
        text, end = "=", 0
        for number in order:
            field = fields[number]
            text += f"{field.offset - end}x{CODES[field.size]}"
            end = field.offset + field.size
        self._struct = struct.Struct(text + f"{self.size - end}x")
        # Where each value of `pack_into` goes: a time takes two places.
        places = [[n] if n < len(SCALARS) else [2 * n - len(SCALARS), 2 * n - len(SCALARS) + 1] for n in order]
        self._arrange = operator.itemgetter(*itertools.chain.from_iterable(places))
        self._uid, self._gid = look.uid, look.gid

    def pack_into(self, buffer: Any, offset: int, stat: Stat) -> None:
        """One `struct stat` into a writable buffer."""
        time = divmod(stat.mtime_ns, 1_000_000_000)
        size = stat.size
        uid = self._uid if stat.uid < 0 else stat.uid
        scalars = (stat.ino, stat.mode, stat.nlink, uid, self._gid, size, (size + BLOCK - 1) // BLOCK, stat.chunk)
        self._struct.pack_into(buffer, offset, *self._arrange(scalars + time + time + time))


class Listed:
    """A directory as it was when it was opened: names and attributes, ready to be handed over at any offset.

    `vague` are the numbers of those entries whose attributes are more than a type only when they are looked up.
    """

    __slots__ = ("_buffer", "address", "begun", "names", "size", "vague")

    def __init__(self, names: list[bytes], stats: list[Stat], vague: set[int], layout: StatLayout) -> None:
        self.names = names
        self.vague = vague
        self.size = layout.size
        self.begun = False
        self._buffer = ctypes.create_string_buffer(layout.size * len(names))
        self.address = ctypes.addressof(self._buffer)
        for number, stat in enumerate(stats):
            layout.pack_into(self._buffer, number * layout.size, stat)


class Binding(fuse.FUSE):  # type: ignore[misc, name-defined]
    """One mount. `started(abort)` is called when libfuse is about to serve."""

    def __init__(self, served: Operations, mountpoint: str, started: Callable[[], None], **options: Any) -> None:
        self._served = served
        self._started = started
        self._layout = StatLayout(served.look)
        self._directories: dict[int, Listed] = {}
        self._counter = itertools.count(1)
        self._counts = served.requests
        self._said: set[str] = set()
        self._said_until = 0.0
        _one_heap()
        super().__init__(
            Registered(),
            mountpoint,
            raw_fi=True,
            foreground=True,
            max_threads=THREADS,
            max_idle_threads=THREADS,
            **options,
        )

    def _wrapper(self, func: Any, *args: Any, **kwargs: Any) -> int:
        """The outermost guard of every request."""
        if not getattr(_thread, "kept", False):
            # libfuse's threads are foreign to Python, which would make and destroy a thread state (and map and unmap
            # its stack) for every request. One more reference keeps it; no thread of ours ever ends (max_idle_threads).
            ctypes.pythonapi.PyGILState_Ensure()
            _thread.kept = True
        self._counts[func.__name__.removesuffix("_fuse_3")] += 1
        try:
            return func(*args) or 0
        except (PacificaFSError, OSError) as error:
            number = to_errno(error)
            level = logging.WARNING if number in TOLD and self._is_news(str(error)) else logging.DEBUG
            log.log(level, "%s: %s", func.__name__.removesuffix("_fuse_3"), error)
            return -number
        except Exception:
            log.exception("unexpected error in %s", func.__name__)
            return -errno.EIO

    def _is_news(self, words: str) -> bool:
        """True if this was not said lately, and not too much else was. Threads that race here say it twice."""
        now = time.monotonic()
        if now >= self._said_until:
            self._said, self._said_until = set(), now + SAID_FOR
        if words in self._said or len(self._said) >= MOST_SAID:
            return False
        self._said.add(words)
        if len(self._said) == MOST_SAID:
            log.warning("many requests fail; no more of them are logged for a while")
        return True

    # ------------------------------------------------------------------ set-up

    def init_fuse_3(self, connection: Any, config: Any) -> None:
        """Settings of the connection."""
        conn, conf = connection.contents, config.contents
        conn.max_background = BACKGROUND
        conn.congestion_threshold = BACKGROUND * 3 // 4
        conn.want &= ~(AUTO_INVAL_DATA | READDIRPLUS_AUTO)
        # Or one name that is waited for holds up every new name of its folder. libfuse passes it on since 3.17 only.
        conn.want |= conn.capable & PARALLEL_DIROPS
        conf.use_ino = 1
        conf.hard_remove = 1
        conf.attr_timeout = conf.entry_timeout = ATTRIBUTES_FOR
        conf.negative_timeout = 0.0
        self._started()

    # -------------------------------------------------------------- attributes

    def getattr_fuse_3(self, path: bytes | None, buffer: Any, info: Any) -> None:
        """stat."""
        served = self._served
        number = _number(info)
        if number is not None:
            shown = served.stat_open(number, _text_or_none(path))
        elif path is not None:
            shown = served.stat_path(_text(path))
        else:
            raise OSError(errno.ENOENT, "removed")
        target = (ctypes.c_char * self._layout.size).from_address(ctypes.addressof(buffer.contents))
        self._layout.pack_into(target, 0, shown)

    def readlink(self, path: bytes, buffer: Any, size: int) -> None:
        """readlink."""
        target = os.fsencode(self._served.readlink(self._served.resolve(_text(path))))[: size - 1] + b"\0"
        ctypes.memmove(buffer, target, len(target))

    def getxattr(self, path: bytes, name: bytes, value: Any, size: int, *_: Any) -> int:
        """getxattr."""
        served = self._served
        # ENOTSUP, not ENODATA: it makes `ls -l` stop asking for the ACL of each file.
        if not name.startswith(b"user."):
            return -errno.ENOTSUP
        return _give(served.xattr(served.resolve(_text(path)), _text(name)), value, size)

    def listxattr(self, path: bytes, names: Any, size: int) -> int:
        """listxattr."""
        served = self._served
        found = served.xattrs(served.resolve(_text(path)))
        return _give(b"".join(os.fsencode(name) + b"\0" for name in found), names, size)

    def setxattr(self, path: bytes, name: bytes, value: Any, size: int, *_: Any) -> None:
        """A request to the drop; others are refused."""
        self._served.set_xattr(_text(path), _text(name), ctypes.string_at(value, size))

    def removexattr(self, path: bytes, *_: Any) -> None:
        """Refused."""
        self._served.refuse_xattr(_text(path))

    def statfs(self, path: bytes, buffer: Any) -> None:
        """df."""
        total, free = self._served.space(_text(path))
        shown = buffer.contents
        shown.f_bsize = shown.f_frsize = 4096
        shown.f_blocks = total // 4096
        shown.f_bfree = shown.f_bavail = free // 4096
        shown.f_files = shown.f_ffree = shown.f_favail = 1 << 40
        shown.f_namemax = 255

    # -------------------------------------------------------------- directories

    def opendir(self, path: bytes, info: Any) -> None:
        """A snapshot, so that offsets stay what they are while somebody reads on."""
        number = next(self._counter)
        self._directories[number] = self._listed(path)
        info.contents.fh = number

    def _listed(self, path: bytes) -> Listed:
        served = self._served
        node = served.resolve(_text(path))
        own = served.stat(node)
        names, stats = [b".", b".."], [own, own]
        vague = {0, 1}  # the kernel knows . and ..
        for name, entry in served.entries(node):
            try:
                stat, known = served.listed(entry)
            except NotFound:
                continue  # it went away meanwhile
            if not known:
                vague.add(len(names))
            names.append(name.encode("utf-8", "surrogateescape"))
            stats.append(stat)
        return Listed(names, stats, vague, self._layout)

    def readdir_fuse_3(self, path: bytes | None, buffer: Any, filler: Any, offset: int, info: Any, flags: int) -> None:
        """Names with attributes."""
        number = info.contents.fh
        listed = self._directories[number]
        if offset == 0:
            if listed.begun and path is not None:  # rewinddir(3) shows what is there now
                listed = self._directories[number] = self._listed(path)
            listed.begun = True
        fill = FILLER(ctypes.cast(filler, ctypes.c_void_p).value or 0)
        plus = FILL_PLUS if flags & PLUS else 0
        address, size, vague = listed.address, listed.size, listed.vague
        for index in range(offset, len(listed.names)):
            extra = 0 if index in vague else plus
            if fill(buffer, listed.names[index], address + index * size, index + 1, extra):
                break

    def releasedir(self, path: bytes | None, info: Any) -> None:
        """The snapshot goes."""
        self._directories.pop(info.contents.fh, None)

    # -------------------------------------------------------------------- files

    def open(self, path: bytes, info: Any) -> None:
        """open: answers at once."""
        fi = info.contents
        number = self._served.open(_text(path), fi.flags)
        file = self._served.opened(number)
        fi.fh = number
        fi.direct_io = file.direct
        fi.keep_cache = file.keep
        fi.noflush = file.reading is not None  # closing what was only read is one request less (libfuse 3.11)

    def create(self, path: bytes, mode: int, info: Any) -> None:
        """creat."""
        fi = info.contents
        fi.fh = self._served.create(_text(path), fi.flags, mode)
        fi.direct_io = self._served.opened(fi.fh).direct

    def read(self, path: bytes | None, buffer: Any, size: int, offset: int, info: Any) -> int:
        """Exactly what is asked for, or up to the file's end, or an error: a short answer is kept as the end."""
        file = self._served.opened(info.contents.fh)
        reading = file.reading
        address = ctypes.addressof(buffer.contents)
        if reading is None:
            data = self._served.read_snapshot(file, size, offset)
            ctypes.memmove(address, data, len(data))
            return len(data)
        fd = reading.fd
        if fd >= 0:
            count: int = libc.pread(fd, address, size, offset)
            if count == size or count == max(0, min(size, reading.size - offset)):
                return count
        return reading.read_into(address, size, offset, _interrupted if file.direct else None)

    def write(self, path: bytes | None, buffer: Any, size: int, offset: int, info: Any) -> int:
        """write."""
        with (
            memoryview((ctypes.c_char * size).from_address(ctypes.addressof(buffer.contents))) as raw,
            raw.cast("B") as data,
        ):
            return self._served.write(info.contents.fh, data, offset)

    def flush(self, path: bytes | None, info: Any) -> None:
        """close: the last place whose error a program sees."""
        self._served.flush(info.contents.fh)

    def fsync(self, path: bytes | None, datasync: int, info: Any) -> None:
        """fsync."""
        self._served.fsync(info.contents.fh)

    def release(self, path: bytes | None, info: Any) -> None:
        """The last close."""
        self._served.release(info.contents.fh)

    # ------------------------------------------------------------------ changes

    def mkdir(self, path: bytes, mode: int) -> None:
        """mkdir."""
        self._served.mkdir(_text(path), mode)

    def unlink(self, path: bytes) -> None:
        """unlink."""
        self._served.unlink(_text(path))

    def rmdir(self, path: bytes) -> None:
        """rmdir."""
        self._served.rmdir(_text(path))

    def rename_fuse_3(self, old: bytes, new: bytes, flags: int) -> None:
        """rename, renameat2."""
        if flags & ~NOREPLACE:
            raise OSError(errno.EINVAL, "this kind of rename is not offered")
        self._served.rename(_text(old), _text(new), bool(flags & NOREPLACE))

    def symlink(self, target: bytes, path: bytes) -> None:
        """A link, where the drop follows them."""
        self._served.symlink(_text(target), _text(path))

    def link(self, target: bytes, path: bytes) -> None:
        """Refused."""
        self._served.refuse_special(_text(path))

    def mknod(self, path: bytes, mode: int, device: int) -> None:
        """Refused, but for plain files, which `create` makes."""
        self._served.refuse_special(_text(path))

    def truncate_fuse_3(self, path: bytes | None, size: int, info: Any) -> None:
        """truncate, ftruncate."""
        self._served.truncate(_text_or_none(path), size, _number(info))

    def chmod_fuse_3(self, path: bytes | None, mode: int, info: Any) -> None:
        """chmod."""
        self._served.set_mode(_text_or_none(path), mode, _number(info))

    def chown_fuse_3(self, path: bytes | None, uid: int, gid: int, info: Any) -> None:
        """chown."""
        self._served.set_owner(_text_or_none(path), _number(info))

    def utimens_fuse_3(self, path: bytes | None, times: Any, info: Any) -> None:
        """utimensat."""
        wanted: int | None = time.time_ns()
        if times:
            modified = times.contents.modtime
            if modified.tv_nsec == OMIT:
                wanted = None
            elif modified.tv_nsec != NOW:
                wanted = modified.tv_sec * 1_000_000_000 + modified.tv_nsec
        self._served.set_times(_text_or_none(path), wanted, _number(info))


def caller() -> int:
    """The uid of the program whose request this thread answers; the daemon's own in threads that answer none."""
    return int(fuse.fuse_get_context()[0]) if getattr(_thread, "kept", False) else os.getuid()


def version() -> str:
    """The library's version, for reports."""
    return f"libfuse {fuse.fuse_version_major}.{fuse.fuse_version_minor}, mfusepy"


def _one_heap() -> None:
    """Have all threads share one heap that keeps what is freed, where the C library is glibc.

    libfuse allocates a buffer of up to 1 MiB for each READ. From one heap it is nearly always the same, which is still
    mapped and in the processor's caches: a sixth less processor time for a large read.
    """
    if hasattr(libc, "mallopt"):
        for option, value in ((ARENA_MAX, 1), (MMAP_THRESHOLD, 32 << 20), (TRIM_THRESHOLD, 64 << 20)):
            libc.mallopt(option, value)


def _interrupted() -> bool:
    return bool(fuse._libfuse.fuse_interrupted())


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _text_or_none(path: bytes | None) -> str | None:
    return None if path is None else _text(path)


def _number(info: Any) -> int | None:
    return int(info.contents.fh) if info else None


def _give(data: bytes, buffer: Any, size: int) -> int:
    """An attribute's value as the kernel asks for it: the length alone, or the bytes if they fit."""
    if size:
        if len(data) > size:
            return -errno.ERANGE
        ctypes.memmove(buffer, data, len(data))
    return len(data)
