"""The events of one archive, on disk: one file for each, its JSON as it came. They survive restarts.

Several processes may use one folder. The oldest go when there are more than KEPT.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import msgspec

from ..errors import NoSpace, NotFound, PacificaFSError
from ..model import Event

log = logging.getLogger(__name__)
KEPT = 1000
PARSED = 64
"""Events whose files are kept in memory."""


class Kept(msgspec.Struct, frozen=True):
    """One event that is here: its id, where its JSON is, and when it came (nanoseconds since the epoch)."""

    id: str
    path: Path
    came_ns: int
    size: int


class EventStore:
    """The folder `root`, made when the first event comes. `parse` makes an Event of JSON. Any thread."""

    def __init__(self, root: Path, parse: Callable[[bytes], Event]) -> None:
        self._root = root
        self._parse = parse
        self._lock = threading.Lock()
        self._seen_at = -1
        self._kept: dict[str, Kept] = {}
        self._ids: dict[tuple[str, int], str] = {}
        self._parsed: OrderedDict[tuple[str, int], Event] = OrderedDict()

    def put(self, data: bytes) -> Event:
        """Keep an event, durably when this returns; one of the same id is replaced. Invalid, NoSpace."""
        event = self._parse(data)
        try:
            self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._write(self._path(event.id), data)
            with self._lock:
                self._seen_at = -1
            for old in sorted(self.kept().values(), key=lambda each: each.came_ns)[:-KEPT]:
                old.path.unlink(missing_ok=True)
        except OSError as error:
            raise NoSpace(f"the event cannot be kept: {error.strerror or error}") from error
        return event

    def kept(self) -> dict[str, Kept]:
        """All events, by id, the newest first."""
        try:
            changed = os.stat(self._root).st_mtime_ns
        except OSError:
            return {}
        with self._lock:
            if changed == self._seen_at:
                return self._kept
        found = []
        for entry in os.scandir(self._root):
            with contextlib.suppress(OSError):
                if entry.name.endswith(".json"):
                    found.append((entry.stat().st_mtime_ns, entry.stat().st_size, Path(entry.path)))
        kept: dict[str, Kept] = {}
        ids: dict[tuple[str, int], str] = {}
        for came_ns, size, path in sorted(found, key=lambda each: (-each[0], each[2])):
            key = (path.name, came_ns)
            try:
                id = ids[key] = self._ids.get(key) or self._read(path, came_ns).id
            except (OSError, PacificaFSError) as error:
                log.warning("%s is left out: %s", path, error)
                continue
            kept[id] = Kept(id, path, came_ns, size)
        with self._lock:
            self._seen_at, self._kept, self._ids = changed, kept, ids
        return kept

    def event(self, id: str) -> Event:
        """One event; NotFound."""
        kept = self.kept().get(id)
        if kept is None:
            raise NotFound(id)
        try:
            return self._read(kept.path, kept.came_ns)
        except OSError as error:
            raise NotFound(id) from error

    def data(self, id: str) -> bytes:
        """Its JSON as it came; NotFound."""
        kept = self.kept().get(id)
        if kept is None:
            raise NotFound(id)
        try:
            return kept.path.read_bytes()
        except OSError as error:
            raise NotFound(id) from error

    def remove(self, id: str) -> None:
        """Forget one; NotFound."""
        if id not in self.kept():
            raise NotFound(id)
        self._path(id).unlink(missing_ok=True)
        with self._lock:
            self._seen_at = -1

    def _read(self, path: Path, came_ns: int) -> Event:
        key = (path.name, came_ns)
        with self._lock:
            event = self._parsed.get(key)
        if event is None:
            event = self._parse(path.read_bytes())
            with self._lock:
                self._parsed[key] = event
                while len(self._parsed) > PARSED:
                    self._parsed.popitem(last=False)
        return event

    def _path(self, id: str) -> Path:
        return self._root / f"{hashlib.sha256(id.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}.json"

    def _write(self, path: Path, data: bytes) -> None:
        descriptor, beside = tempfile.mkstemp(dir=self._root)
        try:
            with open(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(descriptor)
            os.replace(beside, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(beside)
            raise
        folder = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
