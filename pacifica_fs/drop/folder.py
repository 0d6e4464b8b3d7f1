"""`drop/` and `drop/ARCHIVE/`: a folder that is made there is one upload.

Threading: nodes are values, any thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from ..errors import Exists, IsADirectory, NotADirectory, NotEmpty, NotFound, NotPermitted, ReadOnly
from ..tree.nodes import DIRECTORY, OPEN, SHARED, Attributes, Directory, Folder, Handle, Node, Writable, inode
from .content import DropFolder
from .disk import translating
from .guides import at_the_top, guide, is_guide
from .paths import safe
from .single import Singles
from .stack import Site
from .version import LEVELS


class DropRoot:
    """`drop/`: the archives that take uploads."""

    def __init__(self, children: Mapping[str, Directory], control: Callable[[bytes], None] | None = None) -> None:
        """`control` does what a user writes into the extended attribute CONTROL."""
        self._children, self._control = children, control

    @property
    def ino(self) -> int:
        return inode("drop")

    def attributes(self) -> Attributes:
        return Attributes(DIRECTORY | OPEN, nlink=2)

    def xattrs(self) -> Mapping[str, bytes]:
        return {}

    def entries(self) -> Sequence[tuple[str, Node]]:
        return sorted(self._children.items())

    def control(self, data: bytes) -> None:
        """Do what a user asks; see `requests`."""
        if self._control is None:
            raise ReadOnly("uploads are taken by another mount")
        self._control(data)

    def lookup(self, name: str) -> Node:
        try:
            return self._children[name]
        except KeyError:
            raise NotFound(f"no archive {name} takes uploads") from None


class _Taking:
    """What folders above bundles share."""

    def __init__(self, site: Site, sidecar_names: Sequence[str] = (), prefix: str = "") -> None:
        """`prefix` is the path below `drop/ARCHIVE/`, with a slash at its end unless it is empty."""
        self._site, self._sidecar_names, self._prefix = site, tuple(sidecar_names), prefix

    @property
    def ino(self) -> int:
        return inode("drop", self._site.name, *filter(None, [self._prefix]))

    def attributes(self) -> Attributes:
        return Attributes(DIRECTORY | SHARED, nlink=2)

    def xattrs(self) -> Mapping[str, bytes]:
        return {"user.pacifica.archive": self._site.name.encode()}

    def set_times(self, mtime_ns: int) -> None:
        return

    def set_mode(self, mode: int) -> None:
        return

    def space(self) -> tuple[int, int]:
        return self._site.room.space()

    def _guided(self, name: str) -> bool:
        return not self._prefix and is_guide(self._site, name)

    def _place(self, name: str) -> str:
        return f"drop/{self._site.name}/{self._prefix}{name}"

    def _require(self, name: str) -> None:
        """NotPermitted where the name does not fit the layout, or says what the archive does not know."""
        if self._guided(name):
            raise NotPermitted(f"{self._place(name)} is the archive's own")
        layout = self._site.layout
        said = layout.fields(f"{self._prefix}{name}".split("/"))
        if said is None:
            raise NotPermitted(f"{self._place(name)}: the layout of {self._site.name} is {'/'.join(layout.levels)}")
        above = layout.fields(self._prefix.rstrip("/").split("/")) if self._prefix else {}
        if said != above:
            self._site.allowed.require(said)


class BundlesFolder(_Taking):
    """A folder whose folders are bundles: `drop/ARCHIVE/`, unless `layout` has levels above bundles."""

    def __init__(self, site: Site, sidecar_names: Sequence[str] = (), prefix: str = "") -> None:
        super().__init__(site, sidecar_names, prefix)
        self._singles = Singles(site, sidecar_names) if site.settings.single_files and not prefix else None

    def entries(self) -> Sequence[tuple[str, Node]]:
        found: list[tuple[str, Node]] = [] if self._prefix else [*at_the_top(self._site)]
        for full in self._site.names():
            if not full.startswith(self._prefix):
                continue
            stack = self._site.stack(full)
            if self._singles is not None and stack.single:
                found += self._singles.entries(stack)
            else:
                found.append((full.removeprefix(self._prefix), DropFolder(stack, "")))
        return found

    def lookup(self, name: str) -> Node:
        if self._guided(name):
            return guide(self._site, (name,))
        stack = self._site.stack(self._prefix + name)
        if self._singles is not None and (stack.single or not stack.visible):
            return self._singles.lookup(name)
        if not stack.visible:
            raise NotFound(f"there is no {self._place(name)}")
        return DropFolder(stack, "")

    def create(self, name: str, flags: int, mode: int) -> tuple[Writable, Handle]:
        if self._singles is not None:
            return self._singles.create(name, flags, mode)
        raise NotPermitted(f"make a folder in {self._place('')} and put files into it: a folder is one upload")

    @translating
    def mkdir(self, name: str, mode: int) -> None:
        safe(name)
        stack = self._site.stack(self._prefix + name)
        if not stack.visible:
            self._require(name)
        with self._site.making:
            if stack.visible:
                raise Exists(f"{self._place(name)} exists")
            old = stack.bundles
            follows = old[0] if old else None
            self._site.spool.create(self._site.name, stack.name, follows=follows, uid=self._site.caller())

    def unlink(self, name: str) -> None:
        if isinstance(self.lookup(name), Directory):
            raise IsADirectory(f"{name} is a folder")
        if self._singles is not None:
            self._singles.unlink(name)

    @translating
    def rmdir(self, name: str) -> None:
        if not isinstance(self.lookup(name), Directory):
            raise NotADirectory(f"{name} is a file")
        stack = self._site.stack(self._prefix + name)
        with self._site.making:
            current = stack.current
            if current is None or not current.empty():
                raise NotEmpty(f"{self._place(name)} has files")
            self._site.spool.discard(current)

    @translating
    def rename(self, name: str, to: Folder, new: str) -> None:
        safe(new)
        if not isinstance(to, BundlesFolder) or to._site is not self._site:
            raise NotPermitted("a bundle's folder stays in its archive's folder, and on its level")
        if not isinstance(self.lookup(name), Directory) and self._singles is not None:
            self._singles.rename(name, new)
            return
        stack, target = self._site.stack(self._prefix + name), self._site.stack(to._prefix + new)
        if stack.name == target.name:
            return
        to._require(new)
        with self._site.making:
            current = stack.current
            if current is None or stack.sent:
                raise NotPermitted(f"{name} is being sent, or was: its name stays")
            if target.visible:
                if target.current is None or target.sent or not target.current.empty():
                    raise NotEmpty(f"{to._place(new)} has files")
                self._site.spool.discard(target.current)
            self._site.spool.rename(current, target.name)


class LevelFolder(_Taking):
    """A folder above bundles, as `layout` has them: `{project}/…`. Its own folders are real ones in the spool."""

    @property
    def _real(self) -> str:
        return os.path.join(self._site.spool.root, LEVELS, self._site.name, self._prefix)

    def entries(self) -> Sequence[tuple[str, Node]]:
        own = [] if self._prefix else at_the_top(self._site)
        return [*own, *((name, self._child(name)) for name in sorted(self._names()))]

    def lookup(self, name: str) -> Node:
        if self._guided(name):
            return guide(self._site, (name,))
        if name not in self._names():
            raise NotFound(f"there is no {self._place(name)}")
        return self._child(name)

    def create(self, name: str, flags: int, mode: int) -> tuple[Writable, Handle]:
        raise NotPermitted(f"{self._place(name)}: files go into {'/'.join(self._site.layout.levels)}")

    @translating
    def mkdir(self, name: str, mode: int) -> None:
        safe(name)
        if name in self._names():
            raise Exists(f"{self._place(name)} exists")
        self._require(name)
        disk = self._site.spool.disk
        parts = [LEVELS, self._site.name, *filter(None, self._prefix.split("/"))]
        for count in range(1, len(parts) + 1):
            path = os.path.join(self._site.spool.root, *parts[:count])
            if not os.path.isdir(path):
                disk.mkdir(path)
                disk.sync_directory(os.path.dirname(path))
        disk.mkdir(os.path.join(self._real, name))
        disk.sync_directory(self._real)

    def unlink(self, name: str) -> None:
        self.lookup(name)
        raise IsADirectory(f"{name} is a folder")

    @translating
    def rmdir(self, name: str) -> None:
        if self._child(name).entries():
            raise NotEmpty(f"{self._place(name)} has bundles")
        self._site.spool.disk.rmdir(os.path.join(self._real, name))

    def rename(self, name: str, to: Folder, new: str) -> None:
        raise NotPermitted(f"{self._place(name)} says which metadata its bundles have; move the bundles")

    def _names(self) -> set[str]:
        names = set()
        try:
            names.update(os.listdir(self._real))
        except FileNotFoundError:
            pass
        for full in self._site.names():
            if full.startswith(self._prefix):
                names.add(full[len(self._prefix) :].partition("/")[0])
        return names

    def _child(self, name: str) -> BundlesFolder | LevelFolder:
        return level(self._site, self._sidecar_names, f"{self._prefix}{name}/")


def level(site: Site, sidecar_names: Sequence[str] = (), prefix: str = "") -> BundlesFolder | LevelFolder:
    """The folder `prefix` of an archive, above or among its bundles."""
    made = BundlesFolder if prefix.count("/") + 1 >= site.layout.depth else LevelFolder
    return made(site, sidecar_names, prefix)
