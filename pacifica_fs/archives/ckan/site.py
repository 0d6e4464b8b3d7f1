"""What is known of a site as a whole: who we are there, what it can do, what its files' ETags were."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from cachetools import LRUCache, TTLCache

from ...clock import Clock
from ...errors import NotFound, Stale
from .api import Api

LOADERS = ("xloader", "datapusher_plus", "datapusher")
"""Plugins that load tables by themselves."""


class Site:
    """Any thread; answers are kept for a minute."""

    def __init__(self, api: Api, clock: Clock) -> None:
        self._api = api
        self.stopping = threading.Event()
        self._ends: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._known: TTLCache[str, object] = TTLCache(100, 60.0, clock.monotonic)
        self._tags: LRUCache[str, str] = LRUCache(20_000)

    def at_close(self, act: Callable[[], None]) -> None:
        """Have something done when the site is left."""
        self._ends.append(act)

    def close(self) -> None:
        """Everything that works for this site is to end."""
        self.stopping.set()
        for act in self._ends:
            act()

    def who(self) -> str:
        """The user's name; empty for the public, which a token that is not valid is, too. Asks at every call."""
        try:
            found = self._api.read("user_show")
        except NotFound:
            self._api.read("status_show")
            return ""
        return str(found.get("name") or "") if isinstance(found, Mapping) else ""

    def loader(self) -> str:
        """The plugin that loads tables at this site by itself; empty if there is none."""
        with self._lock:
            known = self._known.get("loader")
        if known is None:
            found = self._api.read("status_show")
            extensions = found.get("extensions") or () if isinstance(found, Mapping) else ()
            known = next((name for name in LOADERS if name in extensions), "")
            with self._lock:
                self._known["loader"] = known
        return str(known)

    def writable(self, organisation: str) -> bool:
        """Whether this user may change packages of an organisation (by id or name)."""
        key = f"writable {organisation}"
        with self._lock:
            known = self._known.get(key)
        if not known:
            listed = self._api.read("organization_list_for_user", permission="create_dataset")
            known = any(organisation in (one.get("id"), one.get("name")) for one in listed)
            with self._lock:
                self._known[key] = known
        return bool(known)

    def pin(self, key: str, tag: str) -> None:
        """The ETag of a content: Stale if it is another one than before."""
        if not tag:
            return
        with self._lock:
            before = self._tags.setdefault(key, tag)
        if before != tag:
            raise Stale("the file changed on the site while it was read")
