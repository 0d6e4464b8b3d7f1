"""What the kernel may keep of a file's pages across opens."""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Hashable


class Caching(enum.Enum):
    """How the kernel is to treat its page cache at an open."""

    KEEP = "keep_cache"
    FRESH = "neither"
    DIRECT = "direct_io"


class Pages:
    """Remembers which content each path's page cache was filled from. Not thread-safe; no I/O.

    The kernel has one page cache for each path. Pages that were filled from bytes that turned out wrong, or that were
    thrown away before anybody could check them, would outlive the good content fetched later. So every content has a
    *generation*: `spoil` begins a new one, and a path whose pages are of another generation is opened once without
    keep_cache.

    Memory is bounded: at most `limit` paths and spoiled contents are remembered; forgetting errs towards FRESH.
    """

    def __init__(self, limit: int = 200_000) -> None:
        self._limit = limit
        self._paths: OrderedDict[str, Hashable] = OrderedDict()
        self._generations: dict[str, int] = {}
        self._epoch = 0
        self._forgotten = False

    def open(self, path: str, name: str) -> Caching:
        """KEEP where pages of `path` can only be of blob `name`'s present generation, else FRESH."""
        token = (name, self._generations.get(name, 0), self._epoch)
        before = self._put(path, token)
        if before is None:
            return Caching.FRESH if self._forgotten else Caching.KEEP
        return Caching.KEEP if before == token else Caching.FRESH

    def direct(self, path: str) -> None:
        """`path` is opened with direct_io: private mappings may still fill pages, so the next other open is FRESH."""
        self._put(path, "direct")

    def spoil(self, name: str) -> None:
        """Pages filled from blob `name` until now are not to be trusted."""
        if len(self._generations) >= self._limit:
            self._generations.clear()
            self._epoch += 1
        self._generations[name] = self._generations.get(name, 0) + 1

    def _put(self, path: str, token: Hashable) -> Hashable | None:
        before = self._paths.pop(path, None)
        self._paths[path] = token
        if len(self._paths) > self._limit:
            self._paths.popitem(last=False)
            self._forgotten = True
        return before
