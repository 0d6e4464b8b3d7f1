"""Files and folders below `drop/ARCHIVE/NAME`: names, sizes and times can be seen, content can only be written.

Threading: nodes are values, any thread. What changes a bundle holds its lock for single calls of the disk.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence

import msgspec

from ..errors import Denied, Exists, Invalid, NameTooLong, NotEmpty, NotFound, NotPermitted
from ..tree.nodes import DIRECTORY, FILE, Attributes, Folder, Handle, Node, Writable, inode
from .bundle import MARK, BeingSent, SpoolBundle
from .disk import translating
from .journal import Entry, seconds
from .look import KEPT, inode_of, shown
from .opening import WRITES, make_parents, open_file, safe
from .stack import Stack
from .states import State
from .upload import explain

PROBLEMS = "PROBLEMS.txt"
_GONE = "this file was sent to the archive and is no longer here; write it anew as a whole"


class _InBundle:
    """What files and folders below `drop/ARCHIVE/NAME` share."""

    def __init__(self, stack: Stack, path: str) -> None:
        self._stack, self._path = stack, path

    def _state(self) -> tuple[SpoolBundle | None, os.stat_result | None]:
        """The bundle that takes files, and what is on its disk here."""
        current = self._stack.current
        if current is not None:
            try:
                return current, os.lstat(current.real(self._path))
            except (FileNotFoundError, NotADirectoryError):
                return current, None
        return None, None

    @property
    def ino(self) -> int:
        _, state = self._state()
        if state is not None and self._path:
            return inode_of(state)
        return inode("drop", self._stack.site.name, self._stack.name, self._path)

    def xattrs(self) -> Mapping[str, bytes]:
        bundles = self._stack.bundles
        if not bundles:
            return {}
        current, state = self._state()
        journal = (current if state is not None and current else bundles[0]).journal
        found = {
            "user.pacifica.archive": journal.archive.encode(),
            "user.pacifica.bundle": journal.id.encode(),
            "user.pacifica.state": journal.state.value.encode(),
        }
        if journal.transaction:
            found["user.pacifica.transaction"] = journal.transaction.encode()
        return found


class DropFile(_InBundle):
    """A file of a bundle."""

    def attributes(self) -> Attributes:
        _, state = self._state()
        if state is not None:
            return shown(state)
        _, entry = self._sent()
        return Attributes(FILE | entry.mode, entry.size, entry.mtime_ns)

    @translating
    def open(self, flags: int) -> Handle:
        """Denied for O_RDONLY: content cannot be read back, but by who has the file open for writing, too."""
        if not flags & WRITES:
            raise Denied("files in drop/ can only be written")
        current, state = self._state()
        if current is None or state is None:
            return self._again(flags)
        try:
            return open_file(self._stack.site, current, self._path, flags)
        except BeingSent:
            return self._again(flags)

    @translating
    def truncate(self, size: int) -> None:
        handle = self.open(os.O_WRONLY | (os.O_TRUNC if size == 0 else 0))
        try:
            handle.truncate(size)
            handle.flush()
        finally:
            handle.release()

    @translating
    def set_times(self, mtime_ns: int) -> None:
        current, state = self._state()
        if current is None or state is None:
            self._sent()
            return
        with current.lock:
            current.disk.utime(current.real(self._path), mtime_ns)
            known = current.digests.get(state.st_ino)
            if known is not None and known[:2] == (state.st_size, state.st_mtime_ns):
                current.digests[state.st_ino] = (known[0], mtime_ns, known[2])
            if current.journal.state != State.OPEN:
                current.change(self._path)

    @translating
    def set_mode(self, mode: int) -> None:
        current, state = self._state()
        if current is None or state is None:
            self._sent()
            return
        path = current.real(self._path)
        file = current.handles.get(state.st_ino)
        if file is None:
            current.disk.chmod(path, (mode & KEPT) | 0o600 | (state.st_mode & MARK))
        else:
            with file.lock:
                current.disk.chmod(path, (mode & KEPT) | 0o600 | (MARK if file.marked else 0))

    def _sent(self) -> tuple[SpoolBundle, Entry]:
        found = self._stack.entry(self._path)
        if found is None:
            raise NotFound(f"there is no {self._path}")
        return found

    def _again(self, flags: int) -> Handle:
        """Open what was sent: it becomes a file of the bundle that follows."""
        sent, entry = self._sent()
        source = sent.real(self._path)
        keep = not flags & os.O_TRUNC and entry.size > 0
        if keep and not os.path.exists(source):
            raise NotPermitted(_GONE)
        bundle = self._stack.writable()
        make_parents(bundle, self._path)
        if keep:
            with bundle.lock:
                if not os.path.exists(bundle.real(self._path)):
                    self._stack.site.room.take(entry.size)
                    # Marked from its first byte: a half copy must not pass for the file.
                    bundle.disk.copy(source, bundle.real(self._path), entry.mode | 0o600 | MARK)
        return open_file(self._stack.site, bundle, self._path, flags | os.O_CREAT, entry.mode)


class ProblemsFile:
    """`PROBLEMS.txt`, which a held folder shows in itself and which can be read."""

    def __init__(self, bundle: SpoolBundle) -> None:
        self._bundle = bundle

    @property
    def ino(self) -> int:
        return inode("drop", self._bundle.journal.id, PROBLEMS)

    def attributes(self) -> Attributes:
        return Attributes(FILE | 0o400, 0, int(seconds(self._bundle.journal.updated) * 1e9))

    def xattrs(self) -> Mapping[str, bytes]:
        return {}

    def render(self) -> bytes:
        """What keeps the bundle, and what to do."""
        head = f"{self._bundle.journal.name} is {self._bundle.journal.state}:\n\n"
        return (head + explain(self._bundle.journal.problems)).encode()


class DropFolder(_InBundle):
    """A bundle's folder (path "") or one below it."""

    def attributes(self) -> Attributes:
        _, state = self._state()
        if state is None:
            if self._path and not self._stack.directory(self._path):
                raise NotFound(f"there is no {self._path}")
            bundles = self._stack.bundles
            if not bundles:
                raise NotFound(f"there is no {self._stack.name}")
            return Attributes(DIRECTORY | 0o700, mtime_ns=int(seconds(bundles[0].journal.updated) * 1e9), nlink=2)
        if self._path:
            return shown(state)
        return Attributes(DIRECTORY | 0o700, mtime_ns=state.st_mtime_ns, nlink=2)

    @translating
    def entries(self) -> Sequence[tuple[str, Node]]:
        current, state = self._state()
        found = self._stack.children(self._path)
        if current is not None and state is not None:
            with os.scandir(current.real(self._path)) as entries:
                found.update((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
        elif self._path and not self._stack.directory(self._path):
            raise NotFound(f"there is no {self._path}")
        nodes = [(name, self._node(name, found[name])) for name in sorted(found)]
        if PROBLEMS not in found and (problems := self._problems()):
            nodes.append((PROBLEMS, problems))
        return nodes

    def lookup(self, name: str) -> Node:
        state = self._on_disk(name)
        return self._not_on_disk(name) if state is None else self._node(name, stat.S_ISDIR(state.st_mode))

    def glance(self, name: str) -> Attributes:
        state = self._on_disk(name)
        if state is not None:
            return shown(state)
        node = self._not_on_disk(name)
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
            return self._node(name, False)
        if self._stack.directory(path):
            return self._node(name, True)
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
            raise Invalid("files are renamed within drop/ARCHIVE/ and its folders only")
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

    def _node(self, name: str, directory: bool) -> Node:
        return (DropFolder if directory else DropFile)(self._stack, self._join(name))

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
