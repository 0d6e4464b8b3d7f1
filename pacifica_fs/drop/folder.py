"""`drop/` as a tree of nodes: it takes files, and shows of them names, sizes and times.

A folder `drop/ARCHIVE/NAME` is a stack of bundles of that name. The newest takes files as long as it is not being
sent, and its tree is what is on disk; the ones below it were sent, and show what their journals list. A change of
what was sent opens a new bundle on top.

Threading: nodes are values, any thread. What changes a bundle holds its lock for single calls of the disk.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Mapping, Sequence

from ..clock import Clock
from ..config import ArchiveSettings
from ..errors import Denied, Exists, Invalid, IsADirectory, NameTooLong, NotADirectory, NotEmpty, NotFound, NotPermitted
from ..tree.nodes import DIRECTORY, FILE, Attributes, Directory, Folder, Handle, Node, Writable, inode
from .bundle import MARK, BeingSent, SpoolBundle
from .disk import translating
from .handles import FileHandle, OpenFile
from .journal import Entry, seconds
from .room import Room
from .spool import Spool
from .states import State

_KEPT = 0o777
_WRITES = os.O_WRONLY | os.O_RDWR
_GONE = "this file was sent to the archive and is no longer here; write it anew as a whole"


class Site:
    """What the folders of one archive share."""

    def __init__(
        self, settings: ArchiveSettings, algorithm: str, spool: Spool, room: Room, clock: Clock, keep_done: float
    ) -> None:
        self.name, self.settings, self.algorithm = settings.name, settings, algorithm
        self.spool, self.room, self.clock, self.keep_done = spool, room, clock, keep_done
        self.making = threading.Lock()

    def stack(self, name: str) -> Stack:
        """The bundles called `name`, of which there may be none."""
        return Stack(self, name)

    def names(self) -> list[str]:
        """All names with something to show."""
        return sorted(name for archive, name in self.spool.by_name if archive == self.name and self.stack(name).visible)


class Stack:
    """The bundles of one name."""

    def __init__(self, site: Site, name: str) -> None:
        self.site, self.name = site, name

    @property
    def bundles(self) -> tuple[SpoolBundle, ...]:
        """All of them, newest first."""
        return self.site.spool.by_name.get((self.site.name, self.name), ())

    @property
    def current(self) -> SpoolBundle | None:
        """The one that takes files, if there is one."""
        bundles = self.bundles
        return bundles[0] if bundles and bundles[0].journal.revisable else None

    @property
    def sent(self) -> list[SpoolBundle]:
        """Those whose files are shown from their journals, newest first."""
        oldest = self.site.clock.now() - self.site.keep_done
        return [
            one
            for one in self.bundles
            if not one.journal.revisable
            and (one.journal.state != State.DONE or seconds(one.journal.times.get(State.DONE, "")) >= oldest)
        ]

    @property
    def visible(self) -> bool:
        """True if `drop/ARCHIVE/` shows the folder."""
        return self.current is not None or bool(self.sent)

    def entry(self, path: str) -> tuple[SpoolBundle, Entry] | None:
        """The newest sent file of that path."""
        for bundle in self.sent:
            if found := bundle.shown()[0].get(path):
                return bundle, found
        return None

    def children(self, path: str) -> dict[str, bool]:
        """Names in the directory `path` of what was sent, and whether each is a directory."""
        found: dict[str, bool] = {}
        for bundle in reversed(self.sent):
            files, directories = bundle.shown()
            for name in directories.get(path, ()):
                found[name] = (f"{path}/{name}" if path else name) not in files
        return found

    def directory(self, path: str) -> bool:
        """True if something sent was below `path`."""
        return any(path in bundle.shown()[1] for bundle in self.sent)

    def writable(self) -> SpoolBundle:
        """The bundle that takes files; made if the newest is being sent, or was."""
        with self.site.making:
            if (current := self.current) is not None:
                return current
            if not self.bundles:
                raise NotFound(f"drop/{self.site.name}/{self.name} is gone")
            newest = self.bundles[0]
            return self.site.spool.create(
                self.site.name, self.name, follows=newest, inherited=newest.journal.metadata or newest.journal.inherited
            )


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

    def __init__(self, site: Site) -> None:
        self._site = site

    @property
    def ino(self) -> int:
        return inode("drop", self._site.name)

    def attributes(self) -> Attributes:
        return Attributes(DIRECTORY | 0o700, nlink=2)

    def xattrs(self) -> Mapping[str, bytes]:
        return {"user.pacifica.archive": self._site.name.encode()}

    def entries(self) -> Sequence[tuple[str, Node]]:
        return [(name, DropFolder(self._site.stack(name), "")) for name in self._site.names()]

    def lookup(self, name: str) -> Node:
        stack = self._site.stack(name)
        if not stack.visible:
            raise NotFound(f"there is no drop/{self._site.name}/{name}")
        return DropFolder(stack, "")

    def create(self, name: str, flags: int, mode: int) -> tuple[Writable, Handle]:
        raise NotPermitted(f"make a folder in drop/{self._site.name}/ and put files into it: a folder is one upload")

    @translating
    def mkdir(self, name: str, mode: int) -> None:
        _safe(name)
        stack = self._site.stack(name)
        with self._site.making:
            if stack.visible:
                raise Exists(f"drop/{self._site.name}/{name} exists")
            old = stack.bundles
            self._site.spool.create(self._site.name, name, follows=old[0] if old else None)

    def unlink(self, name: str) -> None:
        self.lookup(name)
        raise IsADirectory(f"{name} is a folder")

    @translating
    def rmdir(self, name: str) -> None:
        self.lookup(name)
        stack = self._site.stack(name)
        with self._site.making:
            current = stack.current
            if current is None or not current.empty():
                raise NotEmpty(f"drop/{self._site.name}/{name} has files")
            self._site.spool.discard(current)

    @translating
    def rename(self, name: str, to: Folder, new: str) -> None:
        _safe(new)
        if not isinstance(to, ArchiveFolder) or to._site is not self._site:
            raise Invalid("a bundle's folder stays in its archive's folder")
        self.lookup(name)
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
            return inode("drop", str(state.st_ino))
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
            return Attributes(FILE | (state.st_mode & _KEPT), state.st_size, state.st_mtime_ns)
        _, entry = self._sent()
        return Attributes(FILE | entry.mode, entry.size, entry.mtime_ns)

    @translating
    def open(self, flags: int) -> Handle:
        """Denied for O_RDONLY: content cannot be read back, but by who has the file open for writing, too."""
        if not flags & _WRITES:
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
            current.disk.chmod(path, (mode & _KEPT) | 0o600 | (state.st_mode & MARK))
        else:
            with file.lock:
                current.disk.chmod(path, (mode & _KEPT) | 0o600 | (MARK if file.marked else 0))

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
        mode = (state.st_mode & _KEPT) if self._path else 0o700
        return Attributes(DIRECTORY | mode, mtime_ns=state.st_mtime_ns, nlink=2)

    @translating
    def entries(self) -> Sequence[tuple[str, Node]]:
        current, state = self._state()
        found = self._stack.children(self._path)
        if current is not None and state is not None:
            with os.scandir(current.real(self._path)) as entries:
                found.update((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
        elif self._path and not self._stack.directory(self._path):
            raise NotFound(f"there is no {self._path}")
        return [(name, self._node(name, found[name])) for name in sorted(found)]

    def lookup(self, name: str) -> Node:
        path = self._join(name)
        current = self._stack.current
        if current is not None:
            try:
                return self._node(name, stat.S_ISDIR(os.lstat(current.real(path)).st_mode))
            except (FileNotFoundError, NotADirectoryError):
                pass
            except OSError as error:
                raise NameTooLong(f"{name}: {error.strerror}") from error
        if self._stack.entry(path):
            return self._node(name, False)
        if self._stack.directory(path):
            return self._node(name, True)
        raise NotFound(f"there is no {path}")

    @translating
    def create(self, name: str, flags: int, mode: int) -> tuple[Writable, Handle]:
        _safe(name)
        bundle = self._bundle()
        path = self._join(name)
        if not flags & _WRITES:
            flags |= os.O_WRONLY
        node = DropFile(self._stack, path)
        if not os.path.lexists(bundle.real(path)) and self._stack.entry(path):
            return node, node.open(flags)
        try:
            return node, open_file(self._stack.site, bundle, path, flags | os.O_CREAT, mode)
        except BeingSent:
            # It began to be sent between the look and the lock: the bundle that follows takes the file.
            return node, open_file(self._stack.site, self._bundle(), path, flags | os.O_CREAT, mode)

    @translating
    def mkdir(self, name: str, mode: int) -> None:
        _safe(name)
        bundle = self._bundle()
        path = self._join(name)
        if self._stack.entry(path) or self._stack.directory(path):
            raise Exists(f"{path} exists")
        with bundle.lock:
            bundle.change(path)
            bundle.disk.mkdir(bundle.real(path), (mode & _KEPT) | 0o700)
            bundle.made(path)

    @translating
    def unlink(self, name: str) -> None:
        path = self._join(name)
        current = self._stack.current
        if current is None or not os.path.lexists(current.real(path)):
            self.lookup(name)
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
        _safe(new)
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
            current.disk.chmod(current.real(self._path), (mode & _KEPT) | 0o700)

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

    def _moved(self, bundle: SpoolBundle, path: str) -> None:
        if bundle.is_sidecar(path):
            bundle.unread, bundle.sidecar_at = True, None

    def _arrived(self, bundle: SpoolBundle, path: str, state: os.stat_result) -> None:
        if stat.S_ISDIR(state.st_mode):
            bundle.made(path)
        elif state.st_ino not in bundle.handles:
            bundle.closed(path)


def open_file(site: Site, bundle: SpoolBundle, path: str, flags: int, mode: int = 0o644) -> FileHandle:
    """Open a file of a bundle for writing, making it if `flags` have O_CREAT."""
    disk, real = bundle.disk, bundle.real(path)
    access = os.O_RDWR if flags & os.O_RDWR else os.O_WRONLY
    with bundle.lock:
        bundle.change(path)
        made = False
        if flags & os.O_CREAT:
            try:
                fd = disk.open(real, access | os.O_CREAT | os.O_EXCL, (mode & _KEPT) | 0o600 | MARK)
                made = True
            except FileExistsError:
                if flags & os.O_EXCL:
                    raise
                fd = disk.open(real, access)
        else:
            fd = disk.open(real, access)
        try:
            state = os.fstat(fd)
            if not stat.S_ISREG(state.st_mode):
                raise NotADirectory(f"{path} is not a file")
            file = bundle.handles.get(state.st_ino)
            if file is None:
                marked = bool(state.st_mode & MARK)
                file = OpenFile(bundle, path, state.st_ino, state.st_size, site.algorithm, marked)
                file.nameless = made
            handle = FileHandle(file, fd, site.room, access == os.O_RDWR)
            if not made and flags & os.O_TRUNC and state.st_size:
                handle.truncate(0)
            elif not made and file.size == 0:
                # Emptied a moment ago by its path, most likely: it must not pass for whole after a crash.
                with file.lock:
                    file.begin(fd)
        except BaseException:
            os.close(fd)
            raise
        bundle.handles[state.st_ino] = file
        file.writers += 1
    return handle


def make_parents(bundle: SpoolBundle, path: str) -> None:
    """The directories above `path`, where what was sent had them."""
    parts = path.split("/")[:-1]
    with bundle.lock:
        for count in range(1, len(parts) + 1):
            parent = "/".join(parts[:count])
            try:
                bundle.disk.mkdir(bundle.real(parent))
                bundle.made(parent)
            except FileExistsError:
                continue


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


def _safe(name: str) -> None:
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise Invalid(f"{name!r} cannot be a name")
    if len(os.fsencode(name)) > 255:
        raise NameTooLong("a name has at most 255 bytes")
