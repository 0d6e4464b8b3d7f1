"""The bundles of one name, as one folder of the drop.

The newest takes files as long as it is not being sent, and its tree is what is on disk; the ones below it were sent,
and show what their journals list. A change of what was sent opens a new bundle on top.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from ..archive import Guides
from ..clock import Clock
from ..config import ArchiveSettings
from ..errors import NotFound
from .allowed import Allowed
from .bundle import SpoolBundle
from .journal import Entry, seconds
from .layout import Layout
from .room import Room
from .spool import Spool
from .states import State


class Site:
    """What the folders of one archive share."""

    def __init__(
        self,
        settings: ArchiveSettings,
        algorithm: str,
        spool: Spool,
        room: Room,
        clock: Clock,
        keep_done: float,
        layout: Layout,
        allowed: Allowed,
        follows_links: bool,
        caller: Callable[[], int] = os.getuid,
        guides: Guides | None = None,
    ) -> None:
        self.caller, self.guides = caller, guides
        self.name, self.settings, self.algorithm = settings.name, settings, algorithm
        self.spool, self.room, self.clock, self.keep_done = spool, room, clock, keep_done
        self.layout, self.allowed, self.follows_links = layout, allowed, follows_links
        self.making = threading.Lock()

    def stack(self, name: str) -> Stack:
        """The bundles called `name`, of which there may be none."""
        return Stack(self, name)

    def names(self) -> list[str]:
        """All names with something to show."""
        return sorted(name for archive, name in self.spool.by_name if archive == self.name and self.stack(name).visible)


class Stack:
    """The bundles of one name."""

    def __init__(self, site: Site, name: str) -> None:
        self.site, self.name = site, name

    @property
    def bundles(self) -> tuple[SpoolBundle, ...]:
        """All of them, newest first."""
        return self.site.spool.by_name.get((self.site.name, self.name), ())

    @property
    def uid(self) -> int:
        """Whose the folder is: who made the newest; -1 where there is none."""
        bundles = self.bundles
        return bundles[0].journal.uid if bundles else -1

    @property
    def current(self) -> SpoolBundle | None:
        """The one that takes files, if there is one."""
        bundles = self.bundles
        return bundles[0] if bundles and bundles[0].journal.revisable else None

    @property
    def sent(self) -> list[SpoolBundle]:
        """Those whose files are shown from their journals, newest first."""
        oldest = self.site.clock.now() - self.site.keep_done
        return [
            one
            for one in self.bundles
            if not one.journal.revisable
            and (one.journal.state != State.DONE or seconds(one.journal.times.get(State.DONE, "")) >= oldest)
        ]

    @property
    def single(self) -> bool:
        """True if it is one file that was put directly into `drop/ARCHIVE/`."""
        return bool(self.bundles) and self.bundles[0].journal.single

    @property
    def visible(self) -> bool:
        """True if `drop/ARCHIVE/` shows the folder."""
        return self.current is not None or bool(self.sent)

    def entry(self, path: str) -> tuple[SpoolBundle, Entry] | None:
        """The newest sent file of that path."""
        for bundle in self.sent:
            if found := bundle.shown()[0].get(path):
                return bundle, found
        return None

    def children(self, path: str) -> dict[str, bool]:
        """Names in the directory `path` of what was sent, and whether each is a directory."""
        found: dict[str, bool] = {}
        for bundle in reversed(self.sent):
            files, directories = bundle.shown()
            for name in directories.get(path, ()):
                found[name] = (f"{path}/{name}" if path else name) not in files
        return found

    def directory(self, path: str) -> bool:
        """True if something sent was below `path`."""
        return any(path in bundle.shown()[1] for bundle in self.sent)

    def writable(self) -> SpoolBundle:
        """The bundle that takes files; made if the newest is being sent, or was."""
        with self.site.making:
            if (current := self.current) is not None:
                return current
            if not self.bundles:
                raise NotFound(f"drop/{self.site.name}/{self.name} is gone")
            newest = self.bundles[0]
            return self.site.spool.create(
                self.site.name,
                self.name,
                follows=newest,
                inherited=newest.journal.metadata or newest.journal.inherited,
                single=newest.journal.single,
                uid=newest.journal.uid,
            )
