"""What one archive said of its listings and containers: in memory within bounds, and on the shelf for an outage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from ..archive import Archive
from ..clock import Clock
from ..errors import Unreachable
from ..model import Container, FileRef, Group, Listing, View
from .crowd import Crowd
from .fresh import Fresh
from .inside import Folders
from .names import arrange, safe_entries
from .shelf import Shelf

Named = TypeVar("Named", Container, Group)
Where = tuple[tuple[str, str], ...]
README = "README.txt"
FILES_KEPT = 400_000
CONTAINERS_KEPT = 50_000
LISTED_KEPT = 200_000


class Shown(Generic[Named]):
    """A listing with the names under which its entries are shown. Immutable."""

    def __init__(self, listing: Listing[Named]) -> None:
        self.listing: Listing[Named] = listing
        by_id: dict[str, Named] = {item.id: item for item in listing.entries}
        names = safe_entries(((id, "") for id in by_id), (README,))
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
    ) -> None:
        self.archive = archive
        self.limit = limit
        place = Crowd(clock, crowd)
        name = archive.name + "\0" + archive.identity
        self._listed: Mapping[str, Container] = {}
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
        # A container's files do not change, so they are believed for longer than listings.
        self._folders: Fresh[Sequence[FileRef], Folders] = Fresh(
            10 * ttl,
            clock,
            lambda key, files: Folders(archive.name, key[0], arrange(files)),
            capacity=FILES_KEPT,
            weight=lambda folders: folders.count + 1,
            shelf=shelf,
            crowd=place,
            outage=outage,
            name=f"{name}\0files",
            type=tuple[FileRef, ...],
        )

    def forget(self) -> None:
        """Ask for every listing anew at the next look (something changed)."""
        for table in (self._listings, self._groups, self._containers):
            table.forget()

    def listing(self, view: View, where: Where) -> Shown[Container]:
        """The containers of one folder."""
        limit = view.newest or self.limit
        key = (str(limit), *(part for pair in where for part in pair))
        return self._listings.get(key, lambda: self.archive.containers(dict(where), limit))

    def groups(self, dimension: str, where: Where) -> Shown[Group]:
        """The values of one dimension."""
        key = (dimension, *(part for pair in where for part in pair))
        return self._groups.get(key, lambda: self.archive.groups(dimension, dict(where)))

    def container(self, id: str) -> Container:
        """One container, with what is known about it; NotFound."""
        return self._containers.get((id,), lambda: self.archive.container(id))

    def find(self, id: str) -> Container:
        """One container, perhaps without `info`; asks the archive only if no listing has shown it. NotFound."""
        listed = self._listed.get(id)
        if listed is not None:
            return self.seen(listed)
        try:
            return self.container(id)
        except Unreachable as outage:
            self._seen_files(id, outage)
            return Container(self.archive.name, id)

    def seen(self, container: Container) -> Container:
        """The fullest that is known about a listed container without asking: `info` may be empty."""
        known = self._containers.known((container.id,))
        return known if known is not None and known.info else container

    def folders(self, container: str) -> Folders:
        """A container's files as folders; NotFound."""
        return self._folders.get((container,), lambda: tuple(self.archive.files(container)))

    def _seen_files(self, id: str, outage: Unreachable) -> None:
        """Offline, a container whose files were seen before exists; raises `outage` for any other."""

        def load() -> Sequence[FileRef]:
            raise outage

        self._folders.get((id,), load)

    def _noted(self, shown: Shown[Container]) -> Shown[Container]:
        """A listed id needs no request of its own."""
        found = {container.id: container for container in shown.listing.entries}
        # An assignment of a whole value, so that readers need no lock.
        self._listed = {**self._listed, **found} if len(self._listed) < CONTAINERS_KEPT else found
        return shown
