"""`drop/` and `drop/ARCHIVE/`: a folder that is made there is one upload.

Threading: nodes are values, any thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import Exists, Invalid, IsADirectory, NotADirectory, NotEmpty, NotFound, NotPermitted
from ..tree.nodes import DIRECTORY, Attributes, Directory, Folder, Handle, Node, Writable, inode
from .content import DropFolder
from .disk import translating
from .opening import safe
from .single import Singles
from .stack import Site


class DropRoot:
    """`drop/`: the archives that take uploads."""

    def __init__(self, children: Mapping[str, Directory]) -> None:
        self._children = children

    @property
    def ino(self) -> int:
        return inode("drop")

    def attributes(self) -> Attributes:
        return Attributes(DIRECTORY | 0o700, nlink=2)

    def xattrs(self) -> Mapping[str, bytes]:
        return {}

    def entries(self) -> Sequence[tuple[str, Node]]:
        return sorted(self._children.items())

    def lookup(self, name: str) -> Node:
        try:
            return self._children[name]
        except KeyError:
            raise NotFound(f"no archive {name} takes uploads") from None


class ArchiveFolder:
    """`drop/ARCHIVE/`: a folder in it is a bundle."""

    def __init__(self, site: Site, sidecar_names: Sequence[str] = ()) -> None:
        self._site = site
        self._singles = Singles(site, sidecar_names) if site.settings.single_files else None

    @property
    def ino(self) -> int:
        return inode("drop", self._site.name)

    def attributes(self) -> Attributes:
        return Attributes(DIRECTORY | 0o700, nlink=2)

    def xattrs(self) -> Mapping[str, bytes]:
        return {"user.pacifica.archive": self._site.name.encode()}

    def entries(self) -> Sequence[tuple[str, Node]]:
        found: list[tuple[str, Node]] = []
        for name in self._site.names():
            stack = self._site.stack(name)
            if self._singles is not None and stack.single:
                found += self._singles.entries(stack)
            else:
                found.append((name, DropFolder(stack, "")))
        return found

    def lookup(self, name: str) -> Node:
        stack = self._site.stack(name)
        if self._singles is not None and (stack.single or not stack.visible):
            return self._singles.lookup(name)
        if not stack.visible:
            raise NotFound(f"there is no drop/{self._site.name}/{name}")
        return DropFolder(stack, "")

    def create(self, name: str, flags: int, mode: int) -> tuple[Writable, Handle]:
        if self._singles is not None:
            return self._singles.create(name, flags, mode)
        raise NotPermitted(f"make a folder in drop/{self._site.name}/ and put files into it: a folder is one upload")

    @translating
    def mkdir(self, name: str, mode: int) -> None:
        safe(name)
        stack = self._site.stack(name)
        with self._site.making:
            if stack.visible:
                raise Exists(f"drop/{self._site.name}/{name} exists")
            old = stack.bundles
            self._site.spool.create(self._site.name, name, follows=old[0] if old else None)

    def unlink(self, name: str) -> None:
        if isinstance(self.lookup(name), Directory):
            raise IsADirectory(f"{name} is a folder")
        if self._singles is not None:
            self._singles.unlink(name)

    @translating
    def rmdir(self, name: str) -> None:
        if not isinstance(self.lookup(name), Directory):
            raise NotADirectory(f"{name} is a file")
        stack = self._site.stack(name)
        with self._site.making:
            current = stack.current
            if current is None or not current.empty():
                raise NotEmpty(f"drop/{self._site.name}/{name} has files")
            self._site.spool.discard(current)

    @translating
    def rename(self, name: str, to: Folder, new: str) -> None:
        safe(new)
        if not isinstance(to, ArchiveFolder) or to._site is not self._site:
            raise Invalid("a bundle's folder stays in its archive's folder")
        if not isinstance(self.lookup(name), Directory) and self._singles is not None:
            self._singles.rename(name, new)
            return
        if name == new:
            return
        stack, target = self._site.stack(name), self._site.stack(new)
        with self._site.making:
            current = stack.current
            if current is None or stack.sent:
                raise NotPermitted(f"{name} is being sent, or was: its name stays")
            if target.visible:
                if target.current is None or target.sent or not target.current.empty():
                    raise NotEmpty(f"drop/{self._site.name}/{new} has files")
                self._site.spool.discard(target.current)
            self._site.spool.rename(current, new)

    def set_times(self, mtime_ns: int) -> None:
        return

    def set_mode(self, mode: int) -> None:
        return

    def space(self) -> tuple[int, int]:
        return self._site.room.space()
