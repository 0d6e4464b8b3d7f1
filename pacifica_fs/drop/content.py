"""Folders of a bundle: names, sizes and times can be seen, and files and folders made, renamed and removed.

Threading: nodes are values, any thread. What changes a bundle holds its lock for single calls of the disk.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

import msgspec

from ..errors import Exists, NameTooLong, NotEmpty, NotFound, NotPermitted
from ..tree.nodes import DIRECTORY, Attributes, Folder, Handle, Node, Writable
from .bundle import BeingSent, SpoolBundle
from .disk import translating
from .dropfile import PROBLEMS, DropFile, DropLink, InBundle, ProblemsFile
from .journal import seconds
from .look import KEPT, shown
from .opening import WRITES, open_file
from .paths import make_parents, safe
from .states import State


class DropFolder(InBundle):
    """A bundle's folder (path "") or one below it."""

    def attributes(self) -> Attributes:
        _, state = self._state()
        if state is None:
            if self._path and not self._stack.directory(self._path):
                raise NotFound(f"there is no {self._path}")
            bundles = self._stack.bundles
            if not bundles:
                raise NotFound(f"there is no {self._stack.name}")
            updated = int(seconds(bundles[0].journal.updated) * 1e9)
            return Attributes(DIRECTORY | 0o700, mtime_ns=updated, nlink=2, uid=self._uid)
        if self._path:
            return shown(state, self._uid)
        return Attributes(DIRECTORY | 0o700, mtime_ns=state.st_mtime_ns, nlink=2, uid=self._uid)

    @translating
    def entries(self) -> Sequence[tuple[str, Node]]:
        current, state = self._state()
        found = {
            name: stat.S_IFDIR if folder else stat.S_IFREG for name, folder in self._stack.children(self._path).items()
        }
        if current is not None and state is not None:
            with os.scandir(current.real(self._path)) as entries:
                found.update((entry.name, stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode)) for entry in entries)
        elif self._path and not self._stack.directory(self._path):
            raise NotFound(f"there is no {self._path}")
        nodes = [(name, self._node(name, found[name])) for name in sorted(found)]
        if PROBLEMS not in found and (problems := self._problems()):
            nodes.append((PROBLEMS, problems))
        return nodes

    def lookup(self, name: str) -> Node:
        state = self._on_disk(name)
        return self._not_on_disk(name) if state is None else self._node(name, stat.S_IFMT(state.st_mode))

    def glance(self, name: str) -> Attributes:
        state = self._on_disk(name)
        if state is not None and not stat.S_ISLNK(state.st_mode):
            return shown(state, self._uid)
        node = self.lookup(name)
        return msgspec.structs.replace(node.attributes(), ino=node.ino)

    def _on_disk(self, name: str) -> os.stat_result | None:
        current = self._stack.current
        if current is not None:
            try:
                return os.lstat(current.real(self._join(name)))
            except (FileNotFoundError, NotADirectoryError):
                pass
            except OSError as error:
                raise NameTooLong(f"{name}: {error.strerror}") from error
        return None

    def _not_on_disk(self, name: str) -> Node:
        path = self._join(name)
        if self._stack.entry(path):
            return self._node(name, stat.S_IFREG)
        if self._stack.directory(path):
            return self._node(name, stat.S_IFDIR)
        if name == PROBLEMS and (problems := self._problems()):
            return problems
        raise NotFound(f"there is no {path}")

    @translating
    def create(self, name: str, flags: int, mode: int) -> tuple[Writable, Handle]:
        safe(name)
        bundle = self._bundle()
        path = self._join(name)
        if not flags & WRITES:
            flags |= os.O_WRONLY
        node = DropFile(self._stack, path)
        if self._stack.entry(path) and not os.path.lexists(bundle.real(path)):
            return node, node.open(flags)
        try:
            return node, open_file(self._stack.site, bundle, path, flags | os.O_CREAT, mode)
        except BeingSent:
            # It began to be sent between the look and the lock: the bundle that follows takes the file.
            return node, open_file(self._stack.site, self._bundle(), path, flags | os.O_CREAT, mode)

    @translating
    def mkdir(self, name: str, mode: int) -> None:
        safe(name)
        bundle = self._bundle()
        path = self._join(name)
        if self._stack.entry(path) or self._stack.directory(path):
            raise Exists(f"{path} exists")
        with bundle.lock:
            bundle.change(path)
            bundle.disk.mkdir(bundle.real(path), (mode & KEPT) | 0o700)
            bundle.made(path)

    @translating
    def symlink(self, name: str, target: str) -> None:
        """Keep a link until the bundle is sealed; NotPermitted where links are not followed."""
        if not self._stack.site.follows_links:
            raise NotPermitted('only files and folders can be archived; [drop] symlinks = "follow" takes links')
        if self._uid not in (-1, os.getuid()):
            raise NotPermitted("links are followed with the rights of the daemon, which are not yours; copy the file")
        safe(name)
        bundle, path = self._bundle(), self._join(name)
        if self._stack.entry(path) or self._stack.directory(path):
            raise Exists(f"{path} exists")
        with bundle.lock:
            bundle.change(path)
            bundle.disk.symlink(target, bundle.real(path))
            bundle.sync_names(path)
        bundle.closed(path)

    @translating
    def unlink(self, name: str) -> None:
        path = self._join(name)
        current = self._stack.current
        if current is None or not os.path.lexists(current.real(path)):
            if isinstance(self.lookup(name), ProblemsFile):
                return  # `rm -r` of a held folder: it goes away with the problems
            raise NotPermitted("this file was sent to the archive; it cannot be taken back here")
        with current.lock:
            state = os.lstat(current.real(path))
            current.change(path)
            current.disk.unlink(current.real(path))
            current.digests.pop(state.st_ino, None)
            self._moved(current, path)
        self._stack.site.room.take(-state.st_size)
        current.stirred(current)

    @translating
    def rmdir(self, name: str) -> None:
        path = self._join(name)
        current = self._stack.current
        if current is None or not os.path.lexists(current.real(path)):
            self.lookup(name)
            raise NotEmpty("this folder was sent to the archive")
        with current.lock:
            current.change(path)
            current.disk.rmdir(current.real(path))
            current.moved(path, None)
        current.stirred(current)

    @translating
    def rename(self, name: str, to: Folder, new: str) -> None:
        safe(new)
        if not isinstance(to, DropFolder) or to._stack.site is not self._stack.site:
            raise NotPermitted("files stay in the folders of their archive's bundles; copy them where they belong")
        old_path, new_path = self._join(name), to._join(new)
        source = self._stack.current
        if source is None or not os.path.lexists(source.real(old_path)):
            self.lookup(name)
            raise NotPermitted("this was sent to the archive; its name stays")
        target = to._bundle()
        if source is target and old_path == new_path:
            return
        # One order for all, so that two renames across each other do not wait for ever.
        first, second = sorted((source, target), key=lambda bundle: bundle.journal.id)
        with first.lock, second.lock:
            state = os.lstat(source.real(old_path))
            replaced = _size(target.real(new_path))
            source.change(old_path)
            target.change(new_path)
            source.disk.rename(source.real(old_path), target.real(new_path))
            _carry(source, old_path, target, new_path, state)
            self._moved(source, old_path)
            to._arrived(target, new_path, state)
            target.sync_names(new_path)
            if old_path.rpartition("/")[0] != new_path.rpartition("/")[0] or source is not target:
                source.disk.sync_directory(source.real(old_path.rpartition("/")[0]))
        self._stack.site.room.take(-replaced)
        target.stirred(target)
        source.stirred(source)

    @translating
    def set_times(self, mtime_ns: int) -> None:
        current, state = self._state()
        if current is not None and state is not None:
            current.disk.utime(current.real(self._path), mtime_ns)

    @translating
    def set_mode(self, mode: int) -> None:
        current, state = self._state()
        if current is not None and state is not None and self._path:
            current.disk.chmod(current.real(self._path), (mode & KEPT) | 0o700)

    def space(self) -> tuple[int, int]:
        return self._stack.site.room.space()

    def _join(self, name: str) -> str:
        return f"{self._path}/{name}" if self._path else name

    def _node(self, name: str, kind: int) -> Node:
        if kind == stat.S_IFDIR:
            return DropFolder(self._stack, self._join(name))
        return (DropLink if kind == stat.S_IFLNK else DropFile)(self._stack, self._join(name))

    def _bundle(self) -> SpoolBundle:
        """The bundle to change, with this folder in it."""
        bundle = self._stack.writable()
        if self._path and not os.path.isdir(bundle.real(self._path)):
            if not self._stack.directory(self._path):
                raise NotFound(f"there is no {self._path}")
            make_parents(bundle, f"{self._path}/x")
        return bundle

    def _problems(self) -> ProblemsFile | None:
        bundle = self._stack.bundles[0] if not self._path and self._stack.bundles else None
        held = bundle is not None and bundle.journal.state in (State.HELD, State.FAILED)
        return ProblemsFile(bundle) if bundle is not None and held and bundle.journal.problems else None

    def _moved(self, bundle: SpoolBundle, path: str) -> None:
        if bundle.is_sidecar(path):
            bundle.unread, bundle.sidecar_at = True, None

    def _arrived(self, bundle: SpoolBundle, path: str, state: os.stat_result) -> None:
        if stat.S_ISDIR(state.st_mode):
            bundle.made(path)
        elif state.st_ino not in bundle.handles:
            bundle.closed(path)


def _carry(source: SpoolBundle, old: str, target: SpoolBundle, new: str, state: os.stat_result) -> None:
    """Take open files and known digests along with a rename; both bundles' locks are held."""
    source.moved(old, new)
    if source is target:
        return
    for ino, file in list(source.handles.items()):
        if file.path == new or file.path.startswith(new + "/"):
            file.bundle = target
            target.handles[ino] = source.handles.pop(ino)
    if known := source.digests.pop(state.st_ino, None):
        target.digests[state.st_ino] = known


def _size(path: str) -> int:
    try:
        state = os.lstat(path)
    except OSError:
        return 0
    return state.st_size if stat.S_ISREG(state.st_mode) else 0
