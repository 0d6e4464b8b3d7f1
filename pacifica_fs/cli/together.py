"""Files of a list that their archive may bring together: told a good many at a time, before the first is read.

Threading: `want` may be called from any thread.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from . import find
from .asking import CONTROL
from .outside import Outside

FILES, BYTES = 64, 32_768  # of one request; an extended attribute has 64 KiB at most


class Together:
    """All that a command is going to read, in its order."""

    def __init__(self, outside: Outside) -> None:
        self._mounts = [mount.path for mount in outside.mounts()]
        self._lock = threading.Lock()
        self._filling: dict[Path, list[tuple[str, str]]] = {}
        self._batch: dict[str, tuple[Path, list[tuple[str, str]]]] = {}

    def add(self, root: str, paths: Sequence[str]) -> None:
        """The files `paths` at or below `root`."""
        root = root.rstrip("/").removesuffix("/.")
        place = find.real(root)
        mount = next((each for each in (place, *place.parents) if each in self._mounts), None)
        if mount is None or place == mount:
            return
        archive = mount / place.relative_to(mount).parts[0]
        for path in paths:
            named = os.path.relpath(f"{place}{path[len(root) :]}", archive)
            batch = self._filling.setdefault(archive, [])
            if len(batch) >= FILES or sum(len(each) for _, each in batch) + len(named) > BYTES:
                batch = self._filling[archive] = []
            batch.append((path, named))
            self._batch[path] = archive, batch

    def want(self, path: str) -> None:
        """`path` is read next: its archive is told of all in its batch, unless it was."""
        with self._lock:
            archive, batch = self._batch.get(path, (None, []))
            for each, _ in batch:
                self._batch.pop(each, None)
            if archive is None or len(batch) < 2:
                return
            request = msgspec.json.encode({"do": "fetch", "files": [named for _, named in batch]})
            # Most archives bring files one by one, and do not know this request.
            with contextlib.suppress(OSError):
                os.setxattr(archive, CONTROL, request)
