"""What an archive looks like as folders, from its declared views alone.

`View("projects", ("project",))` becomes `projects/1234a/67/…`: a folder of the view, one level for each dimension, then
containers, then files. The same container reached by two ways has the same nodes (inode numbers).

Threading: nodes may be used from any thread; what is asked of the archive goes through `Fresh` (one flight a key).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from ..archive import Archive
from ..clock import Clock
from ..errors import NotADirectory, NotFound, Unreachable
from ..model import Container, FileRef, Group, Listing, View
from .fresh import Fresh, Shelf
from .names import Tree, arrange, safe_entries, safe_name
from .nodes import DIRECTORY, FILE, Attributes, Node, inode
from .virtual import Entries, FixedFile, ListedFolder

Named = TypeVar("Named", Container, Group)
Where = tuple[tuple[str, str], ...]
JSON = ".json"
README = "README.txt"
FILES_KEPT = 400_000
CONTAINERS_KEPT = 50_000


class ArchiveTree:
    """One archive's folder. `ttl` is how long listings are believed, `limit` the longest listing that is shown."""

    def __init__(self, archive: Archive, ttl: float, limit: int, clock: Clock, shelf: Shelf | None = None) -> None:
        self.archive = archive
        self.limit = limit
        self._listed: Mapping[str, Container] = {}
        self._merged: Mapping[tuple[str, ...], Listing[Container]] = {}
        name = archive.name + "\0" + archive.identity
        self._listings: Fresh[Listing[Container]] = Fresh(
            ttl,
            clock,
            capacity=200_000,
            weight=lambda listing: len(listing.entries) + 1,
            shelf=shelf,
            name=f"{name}\0containers",
            type=Listing[Container],
        )
        self._groups: Fresh[Listing[Group]] = Fresh(
            ttl,
            clock,
            capacity=200_000,
            weight=lambda listing: len(listing.entries) + 1,
            shelf=shelf,
            name=f"{name}\0groups",
            type=Listing[Group],
        )
        self._containers: Fresh[Container] = Fresh(
            ttl, clock, capacity=CONTAINERS_KEPT, shelf=shelf, name=f"{name}\0container", type=Container
        )
        # A container's files do not change, so they are believed for longer than listings.
        self._files: Fresh[Sequence[FileRef]] = Fresh(
            10 * ttl,
            clock,
            capacity=FILES_KEPT,
            weight=lambda files: len(files) + 1,
            shelf=shelf,
            name=f"{name}\0files",
            type=tuple[FileRef, ...],
        )
        self._arranged: Fresh[Folders] = Fresh(
            10 * ttl, clock, capacity=FILES_KEPT, weight=lambda folders: folders.count + 1
        )

    def root(self) -> ListedFolder | LevelFolder:
        """The archive's own folder; listing it asks no server."""
        nameless = [view for view in self.archive.views if not view.name]
        if nameless:
            return LevelFolder(self, nameless[0], ())
        entries: Entries = [(view.name, self._top(view)) for view in self.archive.views]
        return ListedFolder((self.archive.name,), lambda: entries)

    def forget(self) -> None:
        """Ask for every listing anew at the next look (an event said that something changed)."""
        for table in (self._listings, self._groups, self._containers):
            table.forget()

    def listing(self, view: View, where: Where) -> Listing[Container]:
        """The containers of one folder."""
        limit = view.newest or self.limit
        key = (str(limit), *(part for pair in where for part in pair))
        listing = self._listings.get(key, lambda: self.archive.containers(dict(where), limit))
        if self._merged.get(key) is not listing:
            # Assignments of whole values, so that readers need no lock; a listed id needs no request of its own.
            found = {container.id: container for container in listing.entries}
            self._listed = {**self._listed, **found} if len(self._listed) < CONTAINERS_KEPT else found
            self._merged = {**self._merged, key: listing}
        return Listing(listing.entries) if view.newest else listing

    def groups(self, dimension: str, where: Where) -> Listing[Group]:
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
            return listed
        try:
            return self.container(id)
        except Unreachable as outage:
            self._known_files(id, outage)
            return Container(self.archive.name, id)

    def seen(self, container: Container) -> Container:
        """The fullest that is known about a listed container without asking: `info` may be empty."""
        known = self._containers.known((container.id,))
        return known if known is not None and known.info else container

    def _known_files(self, id: str, outage: Unreachable) -> None:
        """Offline, a container whose files were seen before exists; raises `outage` for any other."""

        def load() -> Sequence[FileRef]:
            raise outage

        self._files.get((id,), load)

    def folders(self, container: str) -> Folders:
        """A container's files as folders; NotFound."""

        def load() -> Folders:
            files = self._files.get((container,), lambda: tuple(self.archive.files(container)))
            return Folders(self.archive.name, container, arrange(files))

        return self._arranged.get((container,), load)

    def _top(self, view: View) -> Node:
        return LevelFolder(self, view, ()) if view.dimensions else ContainersFolder(self, view, ())


class LevelFolder:
    """One level of a view: a folder for each value of a dimension."""

    __slots__ = ("_tree", "_view", "_where", "ino")

    def __init__(self, tree: ArchiveTree, view: View, where: Where) -> None:
        self._tree, self._view, self._where = tree, view, where
        self.ino = inode(tree.archive.name, "level", view.name, *(part for pair in where for part in pair))

    def attributes(self) -> Attributes:
        """A directory's."""
        return Attributes(DIRECTORY, 0, 0)

    def xattrs(self) -> Mapping[str, bytes]:
        """The archive's name."""
        return {"user.pacifica.archive": self._tree.archive.name.encode()}

    def entries(self) -> Entries:
        """A folder for each value, and what is known about it as JSON beside it."""
        listing = self._tree.groups(self._dimension, self._where)
        if not listing.complete:
            return [(README, _readme(self.ino, listing.remark))]
        entries: list[tuple[str, Node]] = []
        for name, group in _named(listing.entries):
            entries.append((name, self._below(group.id)))
            if group.info:
                entries.append((name + JSON, _document(("group", str(self.ino), group.id), group.info, group.mtime_ns)))
        return entries

    def lookup(self, name: str) -> Node:
        """One value's folder; NotFound."""
        for found, node in self.entries():
            if found == name:
                return node
        raise NotFound(name)

    @property
    def _dimension(self) -> str:
        return self._view.dimensions[len(self._where)]

    def _below(self, value: str) -> Node:
        where = (*self._where, (self._dimension, value))
        if len(where) < len(self._view.dimensions):
            return LevelFolder(self._tree, self._view, where)
        return ContainersFolder(self._tree, self._view, where)


class ContainersFolder:
    """The containers that match, each a folder with `ID.json` beside it."""

    __slots__ = ("_tree", "_view", "_where", "ino")

    def __init__(self, tree: ArchiveTree, view: View, where: Where) -> None:
        self._tree, self._view, self._where = tree, view, where
        self.ino = inode(tree.archive.name, "containers", view.name, *(part for pair in where for part in pair))

    def attributes(self) -> Attributes:
        """A directory's."""
        return Attributes(DIRECTORY, 0, 0)

    def xattrs(self) -> Mapping[str, bytes]:
        """The archive's name."""
        return {"user.pacifica.archive": self._tree.archive.name.encode()}

    def entries(self) -> Entries:
        """All containers, or, where there are more than a listing shows, only a README that says where to look."""
        listing = self._tree.listing(self._view, self._where)
        if not listing.complete:
            remark = listing.remark or (
                f"There are more than {self._tree.limit} here, too many for one listing. Each can be opened by its id\n"
                f"all the same: cd ID. A listing is never partial, so that a mirror is never silently partial.\n"
                f"The newest are in recent/."
            )
            return [(README, _readme(self.ino, remark))]
        entries: list[tuple[str, Node]] = []
        for name, container in _named(listing.entries):
            container = self._tree.seen(container)
            entries.append((name, ContainerFolder(self._tree, container)))
            entries.append((name + JSON, ContainerDocument(self._tree, container)))
        return entries

    def lookup(self, name: str) -> Node:
        """A container by its id, listed or not, or its document; NotFound."""
        if name == README:
            for found, node in self.entries():
                if found == name:
                    return node
            raise NotFound(name)
        if name.endswith(JSON):
            try:
                return ContainerDocument(self._tree, self._find(name.removesuffix(JSON)))
            except NotFound:
                pass
        return ContainerFolder(self._tree, self._find(name))

    def _find(self, name: str) -> Container:
        if not self._where and not self._view.newest:
            found = self._tree.find(name)
            if safe_name(found.id) == name:
                return found
            raise NotFound(name)
        listing = self._tree.listing(self._view, self._where)
        for shown, container in _named(listing.entries):
            if shown == name:
                return container
        if listing.complete and not self._view.newest:
            raise NotFound(name)
        return self._tree.find(name)


class ContainerDocument:
    """`ID.json`: what is known about a container."""

    __slots__ = ("_container", "_tree", "ino")

    def __init__(self, tree: ArchiveTree, container: Container) -> None:
        self._tree, self._container = tree, container
        self.ino = inode(tree.archive.name, container.id, JSON)

    def attributes(self) -> Attributes:
        """With the real size, so that `tar` and `rsync` keep it; asks the archive only if the listing did not say."""
        return Attributes(FILE, len(self.render()), self._container.mtime_ns)

    def xattrs(self) -> Mapping[str, bytes]:
        """As the container's folder."""
        return _container_xattrs(self._container)

    def render(self) -> bytes:
        """The document, UTF-8 JSON."""
        if not self._container.info:
            self._container = self._tree.container(self._container.id)
        return _json({"id": self._container.id, **self._container.info})


class ContainerFolder:
    """One container: its files and folders."""

    __slots__ = ("_container", "_tree", "ino")

    def __init__(self, tree: ArchiveTree, container: Container) -> None:
        self._tree, self._container = tree, container
        self.ino = inode(tree.archive.name, container.id)

    def attributes(self) -> Attributes:
        """A directory's, with the time at which the container was submitted."""
        return Attributes(DIRECTORY, 0, self._container.mtime_ns)

    def xattrs(self) -> Mapping[str, bytes]:
        """Archive and id."""
        return _container_xattrs(self._container)

    def entries(self) -> Entries:
        """Its files and folders; one request at the most."""
        return self._content().entries()

    def lookup(self, name: str) -> Node:
        """One of them; NotFound."""
        return self._content().lookup(name)

    def _content(self) -> SubFolder:
        return self._tree.folders(self._container.id).top(self._container.mtime_ns)


class Folders:
    """The folders of one container as arranged by `tree.names`. Immutable; nodes are made once, when first shown."""

    def __init__(self, archive: str, container: str, arranged: Tree) -> None:
        self.archive = archive
        self.container = container
        self.count = _count(arranged)
        self._arranged = arranged

    def top(self, mtime_ns: int) -> SubFolder:
        """The container's own level."""
        return SubFolder(self, (), self._arranged, mtime_ns)


class SubFolder:
    """A folder inside a container."""

    __slots__ = ("_folders", "_level", "_mtime_ns", "_path", "ino")

    def __init__(self, folders: Folders, path: tuple[str, ...], level: Mapping[str, Any], mtime_ns: int) -> None:
        self._folders, self._path, self._level, self._mtime_ns = folders, path, level, mtime_ns
        self.ino = inode(folders.archive, folders.container, "folder", *path)

    def attributes(self) -> Attributes:
        """A directory's, with the container's time."""
        return Attributes(DIRECTORY, 0, self._mtime_ns)

    def xattrs(self) -> Mapping[str, bytes]:
        """Archive and container."""
        return {
            "user.pacifica.archive": self._folders.archive.encode(),
            "user.pacifica.transaction": self._folders.container.encode(),
        }

    def entries(self) -> Entries:
        """Everything in it, without a request."""
        return [(name, self._node(name, item)) for name, item in self._level.items()]

    def lookup(self, name: str) -> Node:
        """One entry; NotFound."""
        item = self._level.get(name)
        if item is None:
            raise NotFound(name)
        return self._node(name, item)

    def _node(self, name: str, item: Any) -> Node:
        if isinstance(item, FileRef):
            return ArchiveFile(item)
        return SubFolder(self._folders, (*self._path, name), item, self._mtime_ns)


class ArchiveFile:
    """A file whose content comes through the content store."""

    __slots__ = ("ref",)

    def __init__(self, ref: FileRef) -> None:
        self.ref = ref

    @property
    def ino(self) -> int:
        """The same for every path to this file."""
        return inode(self.ref.archive, self.ref.container, "file", self.ref.id)

    def attributes(self) -> Attributes:
        """Size and time as the archive lists them."""
        return Attributes(FILE, self.ref.size, self.ref.mtime_ns)

    def xattrs(self) -> Mapping[str, bytes]:
        """What is known without asking anybody; the state of the content is the mount's to add."""
        ref = self.ref
        found = {
            "user.pacifica.id": ref.id,
            "user.pacifica.transaction": ref.container,
            "user.pacifica.archive": ref.archive,
        }
        if ref.digest:
            found["user.pacifica.digest"] = str(ref.digest)
        if ref.mime_type:
            found["user.mime_type"] = ref.mime_type
        return {name: value.encode() for name, value in found.items()}


def root(entries: Callable[[], Entries]) -> ListedFolder:
    """The mount's own top folder."""
    return ListedFolder(("/",), entries)


def walk(node: Node, *names: str) -> Node:
    """The node that `names` lead to; NotFound, NotADirectory."""
    for name in names:
        if not hasattr(node, "lookup"):
            raise NotADirectory(name)
        node = node.lookup(name)
    return node


def _named(items: Sequence[Named]) -> list[tuple[str, Named]]:
    """Items with an id, each with a safe name that no other has."""
    by_id = {item.id: item for item in items}
    return [(name, by_id[id]) for name, id in safe_entries(((id, "") for id in by_id), (README,)).items()]


def _container_xattrs(container: Container) -> Mapping[str, bytes]:
    return {
        "user.pacifica.archive": container.archive.encode(),
        "user.pacifica.id": container.id.encode(),
        "user.pacifica.transaction": container.id.encode(),
    }


def _count(level: Mapping[str, Any]) -> int:
    return sum(1 if isinstance(item, FileRef) else 1 + _count(item) for item in level.values())


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(msgspec.to_builtins(value), indent=2, ensure_ascii=False).encode() + b"\n"


def _document(key: tuple[str, ...], value: Mapping[str, Any], mtime_ns: int) -> FixedFile:
    return FixedFile((*key, JSON), _json(value).decode(), mtime_ns)


def _readme(ino: int, text: str) -> FixedFile:
    return FixedFile(("readme", str(ino)), text.strip() + "\n")
