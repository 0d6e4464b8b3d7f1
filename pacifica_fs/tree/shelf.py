"""What an archive said, on disk, for the time when it is out of reach."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import Any

import msgspec


class Shelf:
    """Listings on disk. Disposable; any failure is a miss.

    `limit` is the number of files kept; the oldest go first. Safe between threads and processes (atomic replace).
    """

    def __init__(self, root: Path, limit: int = 20_000) -> None:
        self._root = root
        self._limit = limit
        self._puts = 0

    def get(self, key: tuple[str, ...], type: Any) -> Any | None:
        """What was kept for `key`, as `type`; None if nothing (readable) is there."""
        try:
            return msgspec.msgpack.decode(self._path(key).read_bytes(), type=type)
        except (OSError, msgspec.MsgspecError):
            return None

    def put(self, key: tuple[str, ...], value: Any) -> None:
        """Keep `value`; silently not, where the disk does not take it."""
        path = self._path(key)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            data = msgspec.msgpack.encode(value)
            try:
                temporary.write_bytes(data)
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                temporary.write_bytes(data)
            os.replace(temporary, path)
            self._puts += 1
            if self._puts % 1000 == 1:
                self._prune()
        except (OSError, msgspec.MsgspecError):
            temporary.unlink(missing_ok=True)

    def _path(self, key: tuple[str, ...]) -> Path:
        name = hashlib.sha256("\0".join(key).encode("utf-8", "surrogateescape")).hexdigest()[:40]
        return self._root / name[:2] / name

    def _prune(self) -> None:
        files = sorted(
            (entry.stat().st_mtime, entry.path) for sub in os.scandir(self._root) for entry in os.scandir(sub)
        )
        for _, path in files[: max(0, len(files) - self._limit)]:
            os.unlink(path)
