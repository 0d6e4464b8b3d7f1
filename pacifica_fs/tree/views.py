"""What an archive looks like as folders, from its declared views alone.

`View("projects", ("project",))` becomes `projects/1234a/67/…`: a folder of the view, one level for each dimension, then
containers, then files. The same container reached by two ways has the same nodes (inode numbers).

Threading: nodes may be used from any thread; what is asked of the archive goes through `Answers` (one flight a key).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from ..archive import Archive, Gathers
from ..clock import Clock
from ..errors import Invalid, NotADirectory, NotFound, PacificaFSError
from ..model import FileRef, View
from .answers import Answers
from .containers import ContainersFolder
from .documents import README, readme
from .levels import LevelFolder, level
from .nodes import DIRECTORY, Attributes, Directory, Node, inode
from .search import SearchFolder
from .shelf import Shelf
from .virtual import Entries, ListedFolder


class ArchiveTree:
    """One archive's folder. `ttl` is how long listings are believed, `limit` the longest listing that is shown.

    `crowd` is how many requests may wait for the archive once it does not answer; `outage` is called (from any thread)
    when it was found out of reach. Files of unknown size are read through files in the folder `spool`, at most
    `wait` seconds for each read. `gather` is told of all files of a group that a user wants.
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
        self._answers = Answers(archive, ttl, limit, clock, shelf, crowd, outage, spool, wait, gather)

    def root(self, more: Entries = ()) -> Node:
        """The archive's own folder, with `more` in it; where its views have names, listing it asks no server."""
        archive = self._answers.archive
        named: Entries = [*((view.name, self._top(view)) for view in archive.views if view.name), *more]
        nameless = [view for view in archive.views if not view.name]
        if nameless:
            return NamelessFolder(self._answers, named, level(self._answers, nameless[0], _given(nameless[0])))
        return ListedFolder((archive.name,), lambda: named)

    def files(self, container: str, files: Sequence[FileRef], mtime_ns: int) -> Directory:
        """The folder of a container's files that are known without a request."""
        return self._answers.folders_of(container, files).top(mtime_ns)

    def is_called(self, dimension: str, id: str, name: str) -> bool:
        """Whether the value `id` of a dimension, such as a user's number, is the one called `name`. Asks the archive
        once in a while; raises what it raises."""
        try:
            found = self._answers.find_group(dimension, (), name)
        except NotFound:
            return False
        return str(found.info.get(dimension, found.id)) == id

    def forget(self) -> None:
        """Ask for every listing anew at the next look (something changed)."""
        self._answers.forget()

    def doubt(self, container: str) -> None:
        """Ask for a container's files anew at the next look: some of them are not what they were."""
        self._answers.doubt(container)

    def follow(self) -> bool:
        """Ask whether the archive has changed, and forget every listing if it has; asks nobody while nobody looks.

        Called every few seconds. False: this archive cannot be asked that, ever. Raises what the archive raises.
        """
        changed = self._answers.changes.seen()
        if changed:
            self._answers.forget()
        return changed is not None

    def _top(self, view: View) -> Node:
        if view.missing:
            return _missing(self._answers.archive.name, view)
        if view.terms:
            return SearchFolder(self._answers, view)
        return level(self._answers, view, _given(view))


class NamelessFolder:
    """An archive's folder that shows a view directly, and the named views beside it; their names win."""

    __slots__ = ("_answers", "_named", "_view", "ino")

    def __init__(self, answers: Answers, named: Entries, view: LevelFolder | ContainersFolder) -> None:
        self._answers, self._named, self._view = answers, dict(named), view
        self.ino = inode(answers.archive.name)

    def attributes(self) -> Attributes:
        """A directory's."""
        return Attributes(DIRECTORY)

    def xattrs(self) -> Mapping[str, bytes]:
        """The archive's name."""
        return self._view.xattrs()

    def entries(self) -> Entries:
        """The named views, then all of the nameless one."""
        return [*self._named.items(), *((name, node) for name, node in self._view.entries() if name not in self._named)]

    def lookup(self, name: str) -> Node:
        """One of them; NotFound."""
        return self._named.get(name) or self._view.lookup(name)

    def control(self, data: bytes) -> None:
        """`{"do":"fetch","files":["PATH", …]}`: these files, their paths from here, are wanted, and will be read.

        Invalid for anything else, and where the archive gathers no files.
        """
        try:
            paths = msgspec.json.decode(data, type=Wanted).files
        except msgspec.MsgspecError as error:
            raise Invalid(f"not a request: {data[:100]!r}") from error
        if not isinstance(self._answers.archive, Gathers):
            raise Invalid("files of this archive come one by one")
        refs: list[FileRef] = []
        for path in paths:
            with contextlib.suppress(PacificaFSError):  # who reads it is told
                ref = getattr(walk(self, *path.split("/")), "ref", None)
                refs += [ref] if ref is not None else []
        self._answers.gather("", refs)


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """A request for files of a list."""

    do: Literal["fetch"]
    files: list[str]


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


def _given(view: View) -> tuple[tuple[str, str], ...]:
    return tuple(view.where.items())


def _missing(archive: str, view: View) -> ListedFolder:
    key = (archive, "missing", view.name)
    entries: Entries = [(README, readme(inode(*key), f"{view.purpose}: not available here.", view.missing))]
    return ListedFolder(key, lambda: entries)
