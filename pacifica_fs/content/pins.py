"""What a user wants to keep in the cache: spared by eviction, noted on disk, shared by all mounts of the cache."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ..errors import NoSpace
from . import keys

SPARE = 8  # the part of the limit that stays free for what is not pinned
SHOWN = 1000  # pins that are described
FRESH = 1.0  # real seconds for which what other processes pin may go unseen, but by eviction


class Pins:
    """One file a pin, `ROOT/NAME`, which says in JSON what it is. Threading: any thread; small files only."""

    def __init__(self, root: Path, limit: int) -> None:
        """`limit` in bytes: of the whole cache."""
        self._root = root
        self._most = limit - limit // SPARE
        self._lock = threading.Lock()
        self._names: set[str] = set()
        self._size = 0
        self._listed = float("-inf")

    def add(self, name: str, about: Mapping[str, object]) -> None:
        """Pin the blob `name`, there or not yet. NoSpace where too little of the cache would be left for the rest."""
        with self._lock:
            self._look(FRESH)
            if name in self._names:
                return
            size = keys.split(name)[1]
            if self._size + size > self._most:
                raise NoSpace(f"no more than {self._most} bytes of the cache can be pinned; raise [cache] limit")
            self._root.mkdir(mode=0o700, exist_ok=True)
            aside = self._root / f".{os.getpid()}"
            aside.write_bytes(msgspec.json.encode(about))
            aside.rename(self._root / name)
            self._names.add(name)
            self._size += size

    def remove(self, name: str) -> bool:
        """Unpin; False if it was not pinned."""
        with self._lock:
            self._look(FRESH)
            try:
                (self._root / name).unlink()
            except FileNotFoundError:
                return False
            self._names.discard(name)
            self._size -= keys.split(name)[1]
            return True

    def has(self, name: str) -> bool:
        """True where the blob is pinned."""
        return os.path.exists(self._root / name)

    def names(self) -> set[str]:
        """The names of all pinned blobs, as they are on disk now."""
        with self._lock:
            self._look(0.0)
            return set(self._names)

    def usage(self) -> tuple[int, int]:
        """How many files are pinned, and their bytes."""
        with self._lock:
            self._look(FRESH)
            return len(self._names), self._size

    def describe(self) -> list[dict[str, object]]:
        """What is pinned, at most SHOWN of it."""
        found = []
        for name in sorted(self.names())[:SHOWN]:
            try:
                found.append(msgspec.json.decode((self._root / name).read_bytes()))
            except (OSError, msgspec.DecodeError):
                continue  # unpinned meanwhile, or cut short by a crash: it is pinned all the same
        return found

    def _look(self, old: float) -> None:
        now = time.monotonic()
        if now - self._listed < old:
            return
        try:
            self._names = {name for name in os.listdir(self._root) if keys.parse(name)}
        except FileNotFoundError:
            self._names = set()
        self._size = sum(keys.split(name)[1] for name in self._names)
        self._listed = now
