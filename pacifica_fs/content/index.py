"""Which complete blobs are on this disk, kept up to date with what other processes do."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from . import keys
from .evict import Candidate

# A folder's time stamp is as coarse as the kernel's tick: what changed within this of a scan may be missed by the next.
_TICK_NS = 50_000_000


class Index:
    """Names, sizes and last uses below `complete/`. All methods may be called from any thread.

    Only `refresh` reads folders.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._scanning = threading.Lock()
        self._folders: dict[str, dict[str, float]] = {}
        self._stamps: dict[str, int] = {}
        self._size = 0
        self._files = 0

    @property
    def size(self) -> int:
        """Bytes of all complete blobs that are known."""
        return self._size

    @property
    def files(self) -> int:
        """How many complete blobs are known."""
        return self._files

    def path(self, name: str) -> str:
        """Where the blob lies if it is complete."""
        return f"{self._root}/{keys.folder(name)}/{name}"

    def add(self, name: str, used: float) -> bool:
        """The blob is there, last used at `used`; True if that is news."""
        with self._lock:
            folder = self._folders.setdefault(keys.folder(name), {})
            news = name not in folder
            if news:
                self._count(name, 1)
            folder[name] = used
            return news

    def remove(self, name: str) -> None:
        """The blob is gone."""
        with self._lock:
            if self._folders.get(keys.folder(name), {}).pop(name, None) is not None:
                self._count(name, -1)

    def used(self, name: str) -> float | None:
        """When the blob was last used, as far as is known; None if it is not known at all."""
        folder = self._folders.get(keys.folder(name))
        return folder.get(name) if folder is not None else None

    def sizes(self, key: str) -> list[int]:
        """The sizes under which content of this key is known; several only where an archive claims a wrong one."""
        with self._lock:
            names = [name for name in self._folders.get(keys.folder(key), {}) if name.startswith(key + ".")]
        return [keys.split(name)[1] for name in names]

    def candidates(self) -> list[Candidate]:
        """All complete blobs, for eviction."""
        with self._lock:
            return [
                Candidate(name, keys.split(name)[1], used)
                for folder in self._folders.values()
                for name, used in folder.items()
            ]

    def refresh(self) -> None:
        """See what other processes added and removed: only folders that changed since are read again."""
        with self._scanning:
            for folder in self._listed():
                path = self._root / folder
                try:
                    stamp = path.stat().st_mtime_ns
                    if self._stamps.get(folder) != stamp:
                        before = time.time_ns()
                        self._scan(folder, path)
                        if before - stamp > _TICK_NS:
                            self._stamps[folder] = stamp
                        else:
                            self._stamps.pop(folder, None)
                except FileNotFoundError:
                    self._replace(folder, {})

    def _listed(self) -> Iterator[str]:
        try:
            found = {name for name in os.listdir(self._root) if len(name) == 2}
        except FileNotFoundError:
            found = set()
        return iter(found | set(self._folders))

    def _scan(self, folder: str, path: Path) -> None:
        known = self._folders.get(folder, {})
        found: dict[str, float] = {}
        with os.scandir(path) as entries:
            for entry in entries:
                if keys.parse(entry.name) is None:
                    continue
                used = known.get(entry.name)
                try:
                    found[entry.name] = entry.stat().st_mtime if used is None else used
                except FileNotFoundError:
                    continue
        # Blobs that this process adds meanwhile keep their folder's stamp changing: the next refresh sees them.
        self._replace(folder, found)

    def _replace(self, folder: str, found: dict[str, float]) -> None:
        with self._lock:
            known = self._folders.get(folder, {})
            for name in known.keys() - found.keys():
                self._count(name, -1)
            for name in found.keys() - known.keys():
                self._count(name, 1)
            self._folders[folder] = {name: max(used, known.get(name, 0.0)) for name, used in found.items()}

    def _count(self, name: str, sign: int) -> None:
        self._size += sign * keys.split(name)[1]
        self._files += sign
