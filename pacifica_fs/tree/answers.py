"""What one archive said of its listings and containers: in memory within bounds, and on the shelf for an outage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from ..archive import Archive, Finder, Folded, Inside
from ..clock import Clock
from ..errors import NotFound, Unreachable
from ..filetable import FileTable
from ..model import Container, FileRef, Group, Listing, View
from .changes import Changes
from .crowd import Crowd
from .deep import Level, level_of
from .documents import JSON, README
from .fresh import Fresh
from .inside import Folders
from .names import arrange, safe_entries, safe_name
from .shelf import Shelf
from .spooled import Spooling
from .tabled import TableLevel

Named = TypeVar("Named", Container, Group)
Where = tuple[tuple[str, str], ...]
FILES_KEPT = 400_000
CONTAINERS_KEPT = 50_000
LISTED_KEPT = 200_000


class Shown(Generic[Named]):
    """A listing with the names under which its entries are shown. Immutable."""

    def __init__(self, listing: Listing[Named]) -> None:
        self.listing: Listing[Named] = listing
        by_id: dict[str, Named] = {item.id: item for item in listing.entries}
        # `67.json` is the document about 67, so what is called like that itself gets another name.
        pairs: list[tuple[str, str]] = [(item.id, item.label) for item in by_id.values()]
        names = safe_entries(pairs, (README, *(safe_name(label) for _, label in pairs if label.endswith(JSON))))
        self.named: Mapping[str, Named] = {name: by_id[id] for name, id in names.items()}

    @property
    def weight(self) -> int:
        """How much memory it takes, in entries."""
        return len(self.listing.entries) + 1


class Answers:
    """All that is asked of one archive, each question with its table. All methods may be called from any thread.

    They raise what the archive raises, and TooBusy and WaitTimeout (see `Fresh`).
    """

    def __init__(
        self,
        archive: Archive,
        ttl: float,
        limit: int,
        clock: Clock,
        shelf: Shelf | None = None,
        crowd: int = 64,
        outage: Callable[[], None] = lambda: None,
        spool: Path | None = None,
        wait: float = 600.0,
        gather: Callable[[str, Sequence[FileRef]], None] = lambda group, files: None,
    ) -> None:
        self.archive = archive
        self.gather = gather
        self.finder = archive if isinstance(archive, Finder) else None
        self.limit = limit
        self.spooling = Spooling(archive, clock, spool, wait)
        self._folded = archive if isinstance(archive, Folded) else None
        place = Crowd(clock, crowd)
        name = archive.name + "\0" + archive.identity
        self._listed: Mapping[str, Container] = {}
        self.changes = Changes(archive, ttl, clock)
        self._listings: Fresh[Listing[Container], Shown[Container]] = Fresh(
            ttl,
            clock,
            lambda _, listing: self._noted(Shown(listing)),
            capacity=LISTED_KEPT,
            weight=lambda shown: shown.weight,
            shelf=shelf,
            crowd=place,
            outage=outage,
            name=f"{name}\0containers",
            type=Listing[Container],
            steady=self.changes.steady,
        )
        self._groups: Fresh[Listing[Group], Shown[Group]] = Fresh(
            ttl,
            clock,
            lambda _, listing: Shown(listing),
            capacity=LISTED_KEPT,
            weight=lambda shown: shown.weight,
            shelf=shelf,
            crowd=place,
            outage=outage,
            name=f"{name}\0groups",
            type=Listing[Group],
        )
        self._containers: Fresh[Container, Container] = Fresh(
            ttl,
            clock,
            lambda _, container: container,
            capacity=CONTAINERS_KEPT,
            # A file on the shelf for each would cost more than the archive itself, where that is on this machine.
            shelf=None if archive.capabilities.local else shelf,
            crowd=place,
            outage=outage,
            name=f"{name}\0container",
            type=Container,
        )
        self._found: Fresh[Container, Container] = Fresh(
            ttl,
            clock,
            lambda _, container: container,
            capacity=CONTAINERS_KEPT,
            shelf=shelf,
            crowd=place,
            outage=outage,
            name=f"{name}\0found",
            type=Container,
        )
        self._found_groups: Fresh[Group, Group] = Fresh(
            ttl,
            clock,
            lambda _, group: group,
            capacity=CONTAINERS_KEPT,
            shelf=shelf,
            crowd=place,
            outage=outage,
            name=f"{name}\0group",
            type=Group,
        )
        # A container's files do not change, so they are believed for longer than listings; unless others may come.
        lasting = ttl if archive.capabilities.growing else 10 * ttl
        self._folders: Fresh[Sequence[FileRef], Folders] = Fresh(
            lasting,
            clock,
            lambda key, files: self.folders_of(key[0], files),
            capacity=FILES_KEPT,
            weight=lambda folders: folders.weight + 1,
            shelf=shelf,
            crowd=place,
            outage=outage,
            name=f"{name}\0files",
            type=tuple[FileRef, ...] | FileTable,
        )
        # Nothing in it: the container is not listed folder by folder.
        self._levels: Fresh[tuple[Inside, ...], tuple[Level, ...]] = Fresh(
            lasting,
            clock,
            lambda key, insides: tuple(level_of(inside, key[1:]) for inside in insides),
            capacity=FILES_KEPT,
            weight=lambda levels: 1 + sum(map(len, levels)),
            shelf=shelf,
            crowd=place,
            outage=outage,
            name=f"{name}\0level",
            type=tuple[Inside, ...],
        )

    def forget(self) -> None:
        """Ask for every listing anew at the next look (something changed)."""
        for table in (self._listings, self._groups, self._containers, self._found, self._found_groups):
            table.forget()

    def doubt(self, container: str) -> None:
        """Ask for a container's files anew at the next look: some of them are not what they were."""
        for table in (self._containers, self._folders):
            table.doubt((container,))

    def listing(self, view: View, where: Where) -> Shown[Container]:
        """The containers of one folder."""
        self.changes.used()
        limit = view.newest or self.limit
        return self._listings.get((str(limit), *_flat(where)), lambda: self.archive.containers(dict(where), limit))

    def listed(self, view: View, where: Where) -> Shown[Container] | None:
        """The same if it is in memory and believed; never waits."""
        return self._listings.current((str(view.newest or self.limit), *_flat(where)))

    def groups(self, dimension: str, where: Where) -> Shown[Group]:
        """The values of one dimension."""
        self.changes.used()
        return self._groups.get((dimension, *_flat(where)), lambda: self.archive.groups(dimension, dict(where)))

    def grouped(self, dimension: str, where: Where) -> Shown[Group] | None:
        """The same if it is in memory and believed; never waits."""
        return self._groups.current((dimension, *_flat(where)))

    def find_group(self, dimension: str, where: Where, name: str) -> Group:
        """The value of that name, of an archive that has a `finder`; NotFound."""
        finder = self.finder
        if finder is None:
            raise NotFound(name)
        key = (dimension, *_flat(where), name)
        return self._found_groups.get(key, lambda: finder.find_group(dimension, dict(where), name))

    def container(self, id: str) -> Container:
        """One container, with what is known about it; NotFound."""
        return self._containers.get((id,), lambda: self.archive.container(id))

    def find(self, where: Where, name: str, unlisted: bool = False) -> Container:
        """A container that no listing of its folder shows, perhaps without `info`; NotFound.

        By its name where the archive has a `finder`, in folders with conditions or views that are `unlisted`; else by
        its id, for which the archive is asked only if no listing at all has shown it.
        """
        finder = self.finder
        if finder is not None and (where or unlisted):
            listed = None if where else self._listed.get(name)
            if listed is not None:
                return self.seen(listed)
            key = (*_flat(where), name)
            try:
                return self.seen(self._found.get(key, lambda: finder.find_container(dict(where), name)))
            except Unreachable as outage:
                if where:
                    raise
                return self._seen_before(name, outage)
        found = self._by_id(name)
        if safe_name(found.id) != name:
            raise NotFound(name)
        return found

    def _by_id(self, id: str) -> Container:
        listed = self._listed.get(id)
        if listed is not None:
            return self.seen(listed)
        try:
            return self.container(id)
        except Unreachable as outage:
            return self._seen_before(id, outage)

    def seen(self, container: Container) -> Container:
        """The fullest that is known about a listed container without asking: `info` may be empty."""
        known = self._containers.known((container.id,))
        if known is not None and known.info:
            return known
        # Not every listing says when a container was made.
        return container if container.mtime_ns else self._listed.get(container.id, container)

    def folders(self, container: str) -> Folders:
        """A container's files as folders; NotFound."""
        return self._folders.get((container,), lambda: self._files(container))

    def _files(self, container: str) -> Sequence[FileRef]:
        files = self.archive.files(container)
        return files if isinstance(files, FileTable) else tuple(files)

    def folders_of(self, container: str, files: Sequence[FileRef]) -> Folders:
        """Files that are known as folders; asks nobody."""
        level = TableLevel(files) if isinstance(files, FileTable) else arrange(files)
        return Folders(self.archive.name, container, level, self.spooling)

    def is_deep(self, container: str) -> bool:
        """Whether its folders are listed one by one; NotFound."""
        return self._folded is not None and bool(self._inside(self._folded, container, ()))

    def level(self, container: str, path: tuple[str, ...]) -> Level:
        """One folder of such a container; NotFound."""
        found = self._inside(self._folded, container, path) if self._folded is not None else ()
        if not found:
            raise NotFound("/".join(path))
        return found[0]

    def _inside(self, folded: Folded, container: str, path: tuple[str, ...]) -> tuple[Level, ...]:
        def load() -> tuple[Inside, ...]:
            inside = folded.folder(container, path)
            return () if inside is None else (inside,)

        return self._levels.get((container, *path), load)

    def _seen_before(self, id: str, outage: Unreachable) -> Container:
        """Offline, a container that was seen before exists, or whose files were; raises `outage` for any other."""
        known = self._containers.known((id,))
        if known is not None:
            return known

        def load() -> Sequence[FileRef]:
            raise outage

        self._folders.get((id,), load)
        return Container(self.archive.name, id)

    def _noted(self, shown: Shown[Container]) -> Shown[Container]:
        """A listed id needs no request of its own."""
        found = {each.id: each for each in shown.listing.entries if each.mtime_ns or each.id not in self._listed}
        # An assignment of a whole value, so that readers need no lock.
        self._listed = {**self._listed, **found} if len(self._listed) < CONTAINERS_KEPT else found
        return shown


def _flat(where: Where) -> tuple[str, ...]:
    return tuple(part for pair in where for part in pair)
