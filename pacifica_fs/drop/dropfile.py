"""Files of a bundle: names, sizes and times can be seen, content can only be written.

Threading: nodes are values, any thread. What changes a bundle holds its lock for single calls of the disk.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..errors import Denied, NotFound, NotPermitted
from ..tree.nodes import FILE, Attributes, Handle, inode
from .bundle import MARK, BeingSent, SpoolBundle
from .disk import translating
from .journal import Entry, seconds
from .look import KEPT, inode_of, shown
from .opening import WRITES, open_file
from .paths import make_parents
from .stack import Stack
from .states import State
from .taking import unshare
from .upload import explain

PROBLEMS = "PROBLEMS.txt"
_GONE = "this file was sent to the archive and is no longer here; write it anew as a whole"


class InBundle:
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
    def _uid(self) -> int:
        return self._stack.uid

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


class DropFile(InBundle):
    """A file of a bundle."""

    def attributes(self) -> Attributes:
        _, state = self._state()
        if state is not None:
            return shown(state, self._uid)
        _, entry = self._sent()
        return Attributes(FILE | entry.mode, entry.size, entry.mtime_ns, uid=self._uid)

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
            state = unshare(current, self._path, self._stack.site.room)
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
            state = unshare(current, self._path, self._stack.site.room)
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
        journal = self._bundle.journal
        return Attributes(FILE | 0o400, 0, int(seconds(journal.updated) * 1e9), uid=journal.uid)

    def xattrs(self) -> Mapping[str, bytes]:
        return {}

    def render(self) -> bytes:
        """What keeps the bundle, and what to do."""
        head = f"{self._bundle.journal.name} is {self._bundle.journal.state}:\n\n"
        return (head + explain(self._bundle.journal.problems)).encode()


class DropLink(InBundle):
    """A symbolic link that waits to be followed when its bundle is sealed."""

    @property
    def target(self) -> str:
        current, state = self._state()
        if current is None or state is None:
            raise NotFound(f"there is no {self._path}")
        return os.readlink(current.real(self._path))

    def attributes(self) -> Attributes:
        _, state = self._state()
        if state is None:
            raise NotFound(f"there is no {self._path}")
        return shown(state, self._uid)

    def set_times(self, mtime_ns: int) -> None:
        """Not kept: what the link leads to has its own."""

    def set_mode(self, mode: int) -> None:
        """Not kept."""
