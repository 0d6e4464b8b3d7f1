"""Watches what is opened, and has the next files fetched where a program goes through many."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from cachetools import LRUCache

from ..archive import Archive, Gathers
from ..clock import Clock
from ..model import FileRef
from .readahead import FORGET, UNDER_WAY, Head, Pace, Scan

log = logging.getLogger(__name__)
SCANS = 32  # containers that are watched at once


class Among(Protocol):
    """The files that one belongs to; see `tree.among`."""

    @property
    def key(self) -> tuple[str, ...]:
        """Which place this is."""

    def orders(self) -> Sequence[Sequence[FileRef]]:
        """The files in the orders in which programs go through them. May take long for many; asks no server."""


class Ahead(Protocol):
    """Who fetches."""

    def one(self, ref: FileRef) -> bool:
        """Have one file fetched; False if that is not needed."""

    def together(self, refs: Sequence[FileRef], done: Callable[[float | None, int], None]) -> bool:
        """Have files fetched in one stream; False if that is not needed.

        `done` is called once it ended, from any thread: with the seconds that staging took and for how many files.
        """


class Scout:
    """One for all archives. Threading: any thread; holds its lock for decisions only."""

    def __init__(self, archives: Mapping[str, Archive], clock: Clock, ahead: Ahead, cache: int) -> None:
        """`cache`: the bytes that the content store may have."""
        self._cache = cache
        self._archives = archives
        self._clock = clock
        self._ahead = ahead
        self._lock = threading.Lock()
        self._scans: LRUCache[tuple[str, ...], Scan | str] = LRUCache(SCANS)
        self._gathers = {name: archive for name, archive in archives.items() if isinstance(archive, Gathers)}
        self._paces: dict[str, Pace] = {}
        self._batches: dict[str, int] = {}

    def opened(self, ref: FileRef, among: Among) -> None:
        """`ref` was opened; returns at once but for the second file of a place, whose orders are made then."""
        with self._lock:
            scan = self._scans.get(among.key)
            if scan is None:
                self._scans[among.key] = ref.id  # a single file makes no scan
                return
        if isinstance(scan, str):
            if scan == ref.id:
                return
            made = Scan(among.orders(), self._cache)
            with self._lock:
                known = self._scans.get(among.key)
                if isinstance(known, Scan):
                    made = known
                else:
                    self._scans[among.key] = made
                    made.opened(scan, self._clock.monotonic())
                scan = made
        with self._lock:
            head = scan.opened(ref.id, self._clock.monotonic())
        if head is None:
            return
        gathers = self._gathers.get(ref.archive)
        if gathers is not None and gathers.gathers(ref):
            self._batch(ref.archive, scan, head, self._archives[ref.archive].capabilities.batch)
            return
        self._more(ref.archive, scan, head)

    def _more(self, name: str, scan: Scan, head: Head) -> None:
        capabilities = self._archives[name].capabilities
        if capabilities.batch > 1 and (capabilities.gathers or not capabilities.instant):
            self._batch(name, scan, head, capabilities.batch)
            return
        with self._lock:
            refs = scan.window(head, capabilities.parallel)
        for ref in refs:
            self._ahead.one(ref)

    def _batch(self, name: str, scan: Scan, head: Head, most: int) -> None:
        """Keep two batches under way."""

        def done(seconds: float | None, files: int) -> None:
            with self._lock:
                self._batches[name] -= 1
                if seconds is not None:
                    self._paces[name].learn(seconds, files)
            if self._clock.monotonic() - head.seen < FORGET:
                self._batch(name, scan, head, most)

        while True:
            with self._lock:
                pace = self._paces.setdefault(name, Pace())
                if self._batches.get(name, 0) >= UNDER_WAY:
                    return
                refs = scan.batch(head, pace.per_file, most)
                if not refs:
                    return
                self._batches[name] = self._batches.get(name, 0) + 1
            if not self._ahead.together(refs, done):
                with self._lock:
                    self._batches[name] -= 1
