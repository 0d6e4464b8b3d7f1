"""The levels of a view above its containers: a folder for each value of a dimension.

Threading: as `containers`.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import NotFound
from ..model import Group, View
from .answers import Answers, Shown, Where
from .containers import ContainersFolder
from .documents import JSON, README, described, document_name, json_text, readme
from .nodes import DIRECTORY, Attributes, Node, inode
from .virtual import Entries, FixedFile


class LevelFolder:
    """One level of a view: a folder for each value of a dimension, and what is known about it as JSON beside it.

    `where` begins with the view's own condition.
    """

    __slots__ = ("_answers", "_mtime_ns", "_view", "_where", "ino")

    def __init__(self, answers: Answers, view: View, where: Where, mtime_ns: int = 0) -> None:
        self._answers, self._view, self._where, self._mtime_ns = answers, view, where, mtime_ns
        self.ino = inode(answers.archive.name, "level", view.name, *(part for pair in where for part in pair))

    def attributes(self) -> Attributes:
        """A directory's, with the value's time."""
        return Attributes(DIRECTORY, 0, self._mtime_ns)

    def xattrs(self) -> Mapping[str, bytes]:
        """The archive's name."""
        return {"user.pacifica.archive": self._answers.archive.name.encode()}

    def entries(self) -> Entries:
        """All values; where they are too many for a listing, only a README."""
        shown = self._shown()
        if not shown.listing.complete:
            return [(README, self._readme(shown))]
        # A complete listing may have something to say, too.
        entries: list[tuple[str, Node]] = [(README, self._readme(shown))] if shown.listing.remark else []
        for name, group in shown.named.items():
            entries.append((name, self._below(group)))
            if group.info:
                entries.append((document_name(name), self._document(group)))
        return entries

    def lookup(self, name: str) -> Node:
        """One value's folder or document, or the README in place of too many; NotFound."""
        if name == README:
            shown = self._shown()
            if not shown.listing.complete or shown.listing.remark:
                return self._readme(shown)
        if name.endswith(JSON):
            try:
                group = self._find(name.removesuffix(JSON), name)
            except NotFound:
                pass
            else:
                if group.info:
                    return self._document(group)
        return self._below(self._find(name))

    def _find(self, name: str, document: str = "") -> Group:
        """The value called `name`, or about which `document` is."""
        listed = self._answers.grouped(self._dimension, self._where)
        group = listed.named.get(name) if listed is not None else None
        if group is not None:
            return group
        finder = self._answers.finder
        if finder is None or not self._view.unlisted or "~" in name:
            shown = self._shown()
            called = described(document, shown.named) if document else name
            group = shown.named.get(called) if called is not None else None
            if group is not None:
                return group
            if finder is None or shown.listing.complete:
                raise NotFound(name)
        return self._answers.find_group(self._dimension, self._where, name)

    def _shown(self) -> Shown[Group]:
        return self._answers.groups(self._dimension, self._where)

    def _readme(self, shown: Shown[Group]) -> FixedFile:
        words = "" if shown.listing.complete else "There are too many here for one listing."
        if words and self._answers.finder is not None:
            words += " Each can be opened by its name all the same."
        return readme(self.ino, words, shown.listing.remark)

    def _document(self, group: Group) -> FixedFile:
        key = ("group", str(self.ino), group.id, JSON)
        return FixedFile(key, json_text(group.info).decode(), group.mtime_ns)

    @property
    def _dimension(self) -> str:
        return self._view.dimensions[len(self._where) - len(self._view.where)]

    def _below(self, group: Group) -> Node:
        return level(self._answers, self._view, (*self._where, (self._dimension, group.id)), group.mtime_ns)


def level(answers: Answers, view: View, where: Where, mtime_ns: int = 0) -> LevelFolder | ContainersFolder:
    """The folder of a view once its dimensions have the values of `where`; `mtime_ns` is the last value's time."""
    if len(where) < len(view.where) + len(view.dimensions):
        return LevelFolder(answers, view, where, mtime_ns)
    return ContainersFolder(answers, view, where, mtime_ns)
