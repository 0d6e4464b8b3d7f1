"""What is done with one file of an archive: read it into the cache, copy it out, compare it with its digest."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import Corrupt
from ..model import Digest
from . import inside
from .inside import Item

PIECE = 1 << 20
PART = ".pacifica-fs-part"
THERE = ("cached", "unverified")

Moved = Callable[[int], None]
"""Called with numbers of bytes that were done."""


def into_cache(item: Item, moved: Moved) -> str:
    """`fetched`, or `there` where the cache had it, and it is right; "" where it has no content to fetch. OSError."""
    found = inside.state(item.path)
    if not found:
        moved(item.size)
        return ""
    if found in THERE:
        if intact(item, moved) is not False:
            return "there"
        moved(-item.size)
    _read(item.path, moved, None, os.O_DIRECT)
    return "fetched"


def intact(item: Item, moved: Moved) -> bool | None:
    """Whether content that is in the cache has its digest; None if there is nothing to compare it with.

    What has not is thrown away, so that the next read fetches it anew. OSError.
    """
    claimed = checkable(inside.digest(item.path))
    if claimed is None:
        moved(item.size)
        return None
    hasher = claimed.hasher()
    # Past the page cache: what is on disk is in question.
    _read(item.path, moved, hasher, os.O_DIRECT)
    if hasher.hexdigest() == claimed.value:
        return True
    inside.ask(item.path, "verify")
    return False


def copy_out(item: Item, target: Path, moved: Moved) -> str:
    """`copied` to `target` with its time, or `there` where that has the archive's bytes already. OSError, Corrupt.

    The copy appears under its name when it is complete and right.
    """
    claimed = checkable(inside.digest(item.path))
    if _same(item, target, claimed):
        moved(item.size)
        return "there"
    hasher = claimed.hasher() if claimed is not None else None
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name[:200]}.{threading.get_ident():x}{PART}")
    try:
        with aside.open("wb", buffering=0) as stream:
            _read(item.path, moved, hasher, 0, stream)
        if hasher is not None and claimed is not None and hasher.hexdigest() != claimed.value:
            raise Corrupt("its bytes are not those that the archive claims")
        os.utime(aside, ns=(item.mtime_ns, item.mtime_ns))
        aside.rename(target)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    return "copied"


def checkable(text: str) -> Digest | None:
    """The digest in an attribute, if this machine can compute it."""
    try:
        found = Digest.parse(text)
    except ValueError:
        return None
    return found if found.computable else None


def _same(item: Item, target: Path, claimed: Digest | None) -> bool:
    try:
        look = target.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    if claimed is None:
        # As rsync: without a digest size and time are what there is.
        return look.st_size == item.size and abs(look.st_mtime_ns - item.mtime_ns) < 1_000_000_000
    if look.st_size != item.size:
        return False
    hasher = claimed.hasher()
    _read(str(target), lambda size: None, hasher, 0)
    if hasher.hexdigest() != claimed.value:
        return False
    os.utime(target, ns=(item.mtime_ns, item.mtime_ns))
    return True


def _read(path: str, moved: Moved, hasher: Any, flags: int, stream: Any = None) -> None:
    buffer = bytearray(PIECE)
    view = memoryview(buffer)
    fd = os.open(path, os.O_RDONLY | flags)
    try:
        while size := os.readv(fd, [buffer]):
            if hasher is not None:
                hasher.update(view[:size])
            if stream is not None:
                left = view[:size]
                while left:
                    left = left[stream.write(left) :]
            moved(size)
    finally:
        os.close(fd)
