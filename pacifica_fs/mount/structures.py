"""`struct stat` as bytes, made fast: the layout is taken from a ctypes structure, so it is right on every machine."""

from __future__ import annotations

import ctypes
import operator
import struct
from collections.abc import Iterable

from .operations import Stat

BLOCK = 4096
"""st_blksize: programs take it for their buffers, and read 4 KiB from the page cache well enough."""

_FIELDS = ("st_ino", "st_mode", "st_nlink", "st_size", "st_blocks", "st_blksize", "st_uid", "st_gid")
_TIMES = ("st_mtimespec", "st_ctimespec", "st_atimespec")
_CODES = {1: "b", 2: "h", 4: "i", 8: "q"}


class StatLayout:
    """Packs `Stat` values as the C structure `c_stat`, all owned by `uid` and `gid`."""

    def __init__(self, c_stat: type[ctypes.Structure], uid: int, gid: int) -> None:
        self.size = ctypes.sizeof(c_stat)
        self._owner = (uid, gid)
        # Where each value of _row() goes: (offset, bytes, index in the row).
        places = [(getattr(c_stat, f).offset, getattr(c_stat, f).size, i) for i, f in enumerate(_FIELDS)]
        for number, name in enumerate(_TIMES):
            half = getattr(c_stat, name).size // 2
            offset = getattr(c_stat, name).offset
            places += [(offset + part * half, half, len(_FIELDS) + 2 * number + part) for part in (0, 1)]
        places.sort()
        code, end = "=", 0
        for offset, size, index in places:
            signed = _FIELDS[index] == "st_size" if index < len(_FIELDS) else True
            code += f"{offset - end}x" + (_CODES[size] if signed else _CODES[size].upper())
            end = offset + size
        self._struct = struct.Struct(f"{code}{self.size - end}x")
        self._in_order = operator.itemgetter(*(index for _, _, index in places))

    def _row(self, entry: Stat) -> tuple[int, ...]:
        seconds, rest = divmod(entry.mtime_ns, 1_000_000_000)
        size = entry.size
        return self._in_order(  # type: ignore[no-any-return]
            (entry.ino, entry.mode, entry.nlink, size, (size + 511) >> 9, BLOCK, *self._owner) + (seconds, rest) * 3
        )

    def pack(self, entry: Stat) -> bytes:
        """One structure."""
        return self._struct.pack(*self._row(entry))


class Listing:
    """One directory as the kernel asks for it: names, and all structures in one buffer. Never changes.

    `address` + i * layout.size is the structure of `names[i]` as long as this object lives.
    """

    def __init__(self, layout: StatLayout, entries: Iterable[tuple[str, Stat]]) -> None:
        found = list(entries)
        self.names = [name.encode("utf-8", "surrogateescape") for name, _ in found]
        # A bytes object would do, but its address cannot be had without a copy.
        self._buffer = ctypes.create_string_buffer(layout.size * len(found))
        self.address = ctypes.addressof(self._buffer)
        pack_into, row, size = layout._struct.pack_into, layout._row, layout.size
        for index, (_, entry) in enumerate(found):
            pack_into(self._buffer, index * size, *row(entry))
