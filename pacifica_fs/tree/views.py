"""What an archive looks like as folders, from its declared views alone.

`View("projects", ("project",))` becomes `projects/1234a/67/…`: a folder of the view, one level for each dimension, then
containers, then files. The same container reached by two ways has the same nodes (inode numbers).

Threading: nodes may be used from any thread; what is asked of the archive goes through `Answers` (one flight a key).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ..archive import Archive
from ..clock import Clock
from ..errors import NotADirectory, NotFound
from ..model import Container, Group, View
from .answers import README, Answers, Shown, Where
from .inside import SubFolder
from .names import safe_name
from .nodes import DIRECTORY, FILE, Attributes, Node, inode
from .shelf import Shelf
from .virtual import Entries, FixedFile, ListedFolder

JSON = ".json"


class ArchiveTree:
    """One archive's folder. `ttl` is how long listings are believed, `limit` the longest listing that is shown.

    `crowd` is how many requests may wait for the archive once it does not answer; `outage` is called (from any thread)
    when it was found out of reach.
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
        self._answers = Answers(archive, ttl, limit, clock, shelf, crowd, outage)

    def root(self) -> ListedFolder | LevelFolder:
        """The archive's own folder; listing it asks no server."""
        nameless = [view for view in self._answers.archive.views if not view.name]
        if nameless:
            return LevelFolder(self._answers, nameless[0], ())
        entries: Entries = [(view.name, self._top(view)) for view in self._answers.archive.views]
        return ListedFolder((self._answers.archive.name,), lambda: entries)

    def forget(self) -> None:
        """Ask for every listing anew at the next look (something changed)."""
        self._answers.forget()

    def _top(self, view: View) -> Node:
        return LevelFolder(self._answers, view, ()) if view.dimensions else ContainersFolder(self._answers, view, ())


class LevelFolder:
    """One level of a view: a folder for each value of a dimension."""

    __slots__ = ("_answers", "_view", "_where", "ino")

    def __init__(self, answers: Answers, view: View, where: Where) -> None:
        self._answers, self._view, self._where = answers, view, where
        self.ino = inode(answers.archive.name, "level", view.name, *(part for pair in where for part in pair))

    def attributes(self) -> Attributes:
        """A directory's."""
        return Attributes(DIRECTORY, 0, 0)

    def xattrs(self) -> Mapping[str, bytes]:
        """The archive's name."""
        return {"user.pacifica.archive": self._answers.archive.name.encode()}

    def entries(self) -> Entries:
        """A folder for each value, and what is known about it as JSON beside it."""
        shown = self._shown()
        if not shown.listing.complete:
            return [(README, self._readme(shown))]
        entries: list[tuple[str, Node]] = []
        for name, group in shown.named.items():
            entries.append((name, self._below(group.id)))
            if group.info:
                entries.append((name + JSON, self._document(group)))
        return entries

    def lookup(self, name: str) -> Node:
        """One value's folder or document, or the README in place of too many; NotFound."""
        shown = self._shown()
        group = shown.named.get(name)
        if group is not None:
            return self._below(group.id)
        group = shown.named.get(name.removesuffix(JSON))
        if name.endswith(JSON) and group is not None and group.info:
            return self._document(group)
        if name == README and not shown.listing.complete:
            return self._readme(shown)
        raise NotFound(name)

    def _shown(self) -> Shown[Group]:
        return self._answers.groups(self._dimension, self._where)

    def _readme(self, shown: Shown[Group]) -> FixedFile:
        return _readme(self.ino, "There are too many here for one listing.", shown.listing.remark)

    def _document(self, group: Group) -> FixedFile:
        key = ("group", str(self.ino), group.id, JSON)
        return FixedFile(key, _json(group.info).decode(), group.mtime_ns)

    @property
    def _dimension(self) -> str:
        return self._view.dimensions[len(self._where)]

    def _below(self, value: str) -> Node:
        where = (*self._where, (self._dimension, value))
        if len(where) < len(self._view.dimensions):
            return LevelFolder(self._answers, self._view, where)
        return ContainersFolder(self._answers, self._view, where)


class ContainersFolder:
    """The containers that match, each a folder with `ID.json` beside it."""

    __slots__ = ("_answers", "_view", "_where", "ino")

    def __init__(self, answers: Answers, view: View, where: Where) -> None:
        self._answers, self._view, self._where = answers, view, where
        self.ino = inode(answers.archive.name, "containers", view.name, *(part for pair in where for part in pair))

    def attributes(self) -> Attributes:
        """A directory's."""
        return Attributes(DIRECTORY, 0, 0)

    def xattrs(self) -> Mapping[str, bytes]:
        """The archive's name."""
        return {"user.pacifica.archive": self._answers.archive.name.encode()}

    def entries(self) -> Entries:
        """All containers, or, where there are more than a listing shows, only a README that says where to look."""
        shown = self._shown()
        if self._is_too_long(shown):
            return [(README, self._readme(shown))]
        entries: list[tuple[str, Node]] = []
        for name, container in shown.named.items():
            container = self._answers.seen(container)
            entries.append((name, ContainerFolder(self._answers, container)))
            entries.append((name + JSON, ContainerDocument(self._answers, container)))
        return entries

    def lookup(self, name: str) -> Node:
        """A container by its id, listed or not, or its document; NotFound."""
        if name == README:
            shown = self._shown()
            if self._is_too_long(shown):
                return self._readme(shown)
        if name.endswith(JSON):
            try:
                return ContainerDocument(self._answers, self._find(name.removesuffix(JSON)))
            except NotFound:
                pass
        return ContainerFolder(self._answers, self._find(name))

    def _shown(self) -> Shown[Container]:
        return self._answers.listing(self._view, self._where)

    def _is_too_long(self, shown: Shown[Container]) -> bool:
        return not shown.listing.complete and not self._view.newest

    def _readme(self, shown: Shown[Container]) -> FixedFile:
        words = [
            f"There are more than {self._answers.limit} here (listing_limit), too many for one listing.",
            "A listing is never partial, so that a mirror is never silently partial.",
            "Each can be opened by its id all the same:",
            "",
            "    cd ID        cat ID.json",
        ]
        archive = self._answers.archive
        views = [view for view in archive.views if view.name and view.name != self._view.name]
        if views:
            words += ["", "Other ways to them:"]
            words += [f"    {archive.name}/{view.name}/    {view.purpose}".rstrip() for view in views]
        return _readme(self.ino, "\n".join(words), shown.listing.remark)

    def _find(self, name: str) -> Container:
        if self._where or self._view.newest:
            shown = self._shown()
            container = shown.named.get(name)
            if container is not None:
                return self._answers.seen(container)
            if shown.listing.complete and not self._view.newest:
                raise NotFound(name)
        found = self._answers.find(name)
        if safe_name(found.id) == name:
            return found
        raise NotFound(name)


class ContainerDocument:
    """`ID.json`: what is known about a container."""

    __slots__ = ("_answers", "_container", "ino")

    def __init__(self, answers: Answers, container: Container) -> None:
        self._answers, self._container = answers, container
        self.ino = inode(answers.archive.name, container.id, JSON)

    @property
    def known(self) -> bool:
        """False where `attributes` would ask the archive: a listing costs one request, not one for each entry."""
        return bool(self._container.info)

    def attributes(self) -> Attributes:
        """With the real size, so that `tar` and `rsync` keep it; asks the archive only if the listing did not say."""
        return Attributes(FILE, len(self.render()), self._container.mtime_ns)

    def xattrs(self) -> Mapping[str, bytes]:
        """As the container's folder."""
        return _container_xattrs(self._container)

    def render(self) -> bytes:
        """The document, UTF-8 JSON."""
        if not self._container.info:
            self._container = self._answers.container(self._container.id)
        return _json({"id": self._container.id, **self._container.info})


class ContainerFolder:
    """One container: its files and folders."""

    __slots__ = ("_answers", "_container", "ino")

    def __init__(self, answers: Answers, container: Container) -> None:
        self._answers, self._container = answers, container
        self.ino = inode(answers.archive.name, container.id)

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
        return self._answers.folders(self._container.id).top(self._container.mtime_ns)


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


def _container_xattrs(container: Container) -> Mapping[str, bytes]:
    return {
        "user.pacifica.archive": container.archive.encode(),
        "user.pacifica.id": container.id.encode(),
        "user.pacifica.transaction": container.id.encode(),
    }


def _json(value: Mapping[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _readme(ino: int, text: str, remark: str) -> FixedFile:
    words = "\n\n".join(filter(None, (text, remark)))
    return FixedFile(("readme", str(ino)), words + "\n")
