"""The directories of a large data set, level by level.

`directory` is a text that each file repeats: one place may be spelt in several ways (stray slashes), be null, or begin
with a slash, which no directory of the site's shows. All methods may be called from any thread, and ask the server.
"""

from __future__ import annotations

import threading

import msgspec
from cachetools import TTLCache

from ...clock import Clock
from . import naming
from .client import Client, Row

KEPT, KEPT_FOR = 5_000, 60.0
SPELLINGS = 50  # of one place that are asked for
Path = tuple[str, ...]


class Place(msgspec.Struct, frozen=True):
    """One directory: the values that `directory` has for it, the folders below, files that no value finds.

    `ids` are files of the top, some of which have no directory at all; `rows` files whose directory begins with a
    slash.
    """

    spellings: tuple[str, ...]
    below: tuple[Path, ...]
    ids: tuple[str, ...]
    rows: tuple[Row, ...]


class Directories:
    """Those of one site. What was asked for is remembered for a minute: a folder is found by way of those above it."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._nodes: TTLCache[tuple[str, str], tuple[list[str], list[str]]] = TTLCache(KEPT, KEPT_FOR, clock.monotonic)
        self._strays: TTLCache[str, list[Row]] = TTLCache(KEPT, KEPT_FOR, clock.monotonic)

    def place(self, dataset: str, path: Path) -> Place:
        """What is known of the directory at `path`; nothing where there is none."""
        spellings = self._spellings(dataset, path)
        below: dict[Path, None] = {}
        ids: list[str] = []
        for spelling in spellings:
            folders, files = self._asked(dataset, spelling)
            for raw in folders:
                there = naming.folders(raw)
                if there != path:
                    below[there] = None
            ids += files if spelling == "" else []
        rows: list[Row] = []
        for row in self._slashed(dataset):
            there = naming.folders(row.get("directory"))
            if there == path:
                rows.append(row)
            elif there[: len(path)] == path:
                below[there[: len(path) + 1]] = None
        return Place(tuple(spellings), tuple(below), tuple(ids), tuple(rows))

    def _spellings(self, dataset: str, path: Path) -> list[str]:
        if path:
            above = self._spellings(dataset, path[:-1])
            todo = [raw for each in above for raw in self._asked(dataset, each)[0] if naming.folders(raw) == path]
        else:
            todo = [""]
        found: dict[str, None] = {}
        while todo and len(found) < SPELLINGS:
            spelling = todo.pop()
            if spelling in found:
                continue
            found[spelling] = None
            # A folder that is this place, too: the name between two slashes.
            todo += [raw for raw in self._asked(dataset, spelling)[0] if naming.folders(raw) == path]
        return list(found)

    def _asked(self, dataset: str, spelling: str) -> tuple[list[str], list[str]]:
        """Raw paths of the folders, and ids of the files, that the site shows for one value."""
        with self._lock:
            known = self._nodes.get((dataset, spelling))
        if known is None:
            folders, files = [], []
            for node in self._client.nodes(dataset, spelling):
                if "path" in node and node.get("name") != "..":
                    folders.append(str(node["path"]))
                elif "id" in node:
                    files.append(str(node["id"]))
            known = folders, files
            with self._lock:
                self._nodes[dataset, spelling] = known
        return known

    def _slashed(self, dataset: str) -> list[Row]:
        with self._lock:
            known = self._strays.get(dataset)
        if known is None:
            found = self._client.rows("dataset_file", dataset__id=dataset, directory__startswith="/")
            # A site that did not know this condition would have listed everything.
            known = [row for row in found if str(row.get("directory") or "").startswith("/")]
            with self._lock:
                self._strays[dataset] = known
        return known
