"""One bundle in the spool, alive: its journal, the files that are open, and when what was last written.

The lock of a bundle is held for single calls of the disk (a rename, the journal's replacement), never for a server,
for hashing or for a wait. Who only looks (`journal`, listings, status) takes no lock: the journal is an immutable
value that is replaced whole.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ..clock import Clock
from ..errors import NotPermitted, Stale
from ..model import Digest
from .complete import COMMIT, OWN
from .disk import Disk
from .journal import NAME, Entry, Journal, encode, stamp
from .sidecar import Reading
from .states import Event, State, moves

if TYPE_CHECKING:
    from .handles import OpenFile
    from .upload import Upload

MARK = stat.S_ISVTX
"""The mode bit of a file that is being written: a file that has it and is not open was cut off by a crash."""


class BeingSent(NotPermitted):
    """A change came too late for this bundle; one that follows it may take it."""


class SpoolBundle:
    """A bundle's folder `SPOOL/bundles/ID` with `bundle.json` and the user's tree in `files/`."""

    def __init__(
        self,
        folder: Path,
        journal: Journal,
        disk: Disk,
        clock: Clock,
        sidecar_names: tuple[str, ...],
        stirred: Callable[[SpoolBundle], None],
    ) -> None:
        self.folder = folder
        self.files = str(folder / "files")
        self.journal = journal
        self.disk, self.clock, self.sidecar_names = disk, clock, sidecar_names
        self.stirred = stirred
        self.lock = threading.RLock()
        self.handles: dict[int, OpenFile] = {}
        self.digests: dict[int, tuple[int, int, Digest]] = {}
        self.generation = 0
        self.stopped = self.gone = False
        # Completeness, in seconds of the monotonic clock.
        self.changed = clock.monotonic()
        self.gap = 0.0
        self.written: float | None = None
        self.sidecar_at: float | None = None
        self.data_at: float | None = None
        self.reading: tuple[str, Reading] | None = None
        self.unread = True
        self.scheduled = False
        self.urgent = False
        self.passed = False
        self.busy = False
        self.retry_at = 0.0
        # What only the status shows.
        self.sent = 0
        self.task = ""
        self.percent = 0.0
        self.waiting_for = ""
        self.picture: tuple[Journal, Upload] | None = None
        self._fresh: set[str] = set()
        self._shown: tuple[Journal, dict[str, Entry], dict[str, set[str]]] | None = None

    # The journal.

    def save(self, journal: Journal) -> None:
        """Make `journal` the durable truth. Raises Stale once the daemon stopped: another may own the spool."""
        with self.lock:
            if self.stopped:
                raise Stale("the daemon is stopping")
            self.disk.replace(str(self.folder / NAME), encode(journal))
            self.journal = journal

    def transition(self, event: Event, **changes: Any) -> State:
        """Apply `event` and note it durably; the new state."""
        with self.lock:
            self.save(self.journal.after(event, self.clock.now(), **changes))
            return self.journal.state

    def note(self, **changes: Any) -> None:
        """Change fields without an event, durably."""
        with self.lock:
            self.save(msgspec.structs.replace(self.journal, updated=stamp(self.clock.now()), **changes))

    # What writers do.

    def change(self, path: str) -> None:
        """A change of `path` begins; call it with the lock held. A sealed bundle is open again from here on.

        BeingSent if it is too late for that.
        """
        if self.gone or not self.journal.revisable:
            raise BeingSent("this is being sent to the archive, or was: it stays as it is")
        sidecar = self.is_sidecar(path)
        if self.journal.state != State.OPEN and moves(self.journal.state, Event.CHANGED):
            committed = self.journal.committed and sidecar
            if self.journal.state in (State.HELD, State.FAILED):
                self.written = None
            problems = self.journal.problems if sidecar else ()
            self.forget_commit()
            self.transition(Event.CHANGED, committed=committed, problems=problems, outage=False, files=(), sealed_by="")
        elif self.journal.committed and not sidecar and path != COMMIT:
            self.note(committed=False)
        self.generation += 1
        self.touch(path)

    def touch(self, path: str) -> None:
        """`path` was written just now; needs no lock."""
        if path == COMMIT:
            return
        now = self.clock.monotonic()
        if not self.is_sidecar(path):
            if self.written is not None and now - self.written > self.gap:
                self.gap = now - self.written
            self.written = now
        self.changed = now

    def closed(self, path: str) -> None:
        """The last writer of `path` closed it."""
        now = self.clock.monotonic()
        if self.is_sidecar(path):
            self.sidecar_at, self.unread, self.urgent = now, True, True
        elif path == COMMIT:
            self.urgent = True
            self.stirred(self)
            return
        else:
            # A file's own sidecar may end the wait for one.
            self.data_at, self.urgent = now, self.urgent or path.endswith(OWN)
        self.changed = now
        self.stirred(self)

    def is_sidecar(self, path: str) -> bool:
        """True if `path` has a sidecar's name, at the top level."""
        return path in self.sidecar_names

    def made(self, path: str) -> None:
        """A directory that no fsync has seen yet."""
        self._fresh.add(path)

    def moved(self, old: str, new: str | None) -> None:
        """A directory has another name, or none: the same for what is below it. Call it with the lock held."""
        for path in [one for one in self._fresh if one == old or one.startswith(old + "/")]:
            self._fresh.discard(path)
            if new is not None:
                self._fresh.add(new + path[len(old) :])
        for file in list(self.handles.values()):
            if new is not None and (file.path == old or file.path.startswith(old + "/")):
                file.path = new + file.path[len(old) :]

    def sync_names(self, path: str) -> None:
        """Make the name `path` durable, with all new directories above it."""
        durable = []
        while path:
            path = path.rpartition("/")[0]
            self.disk.sync_directory(self.real(path))
            if path not in self._fresh:
                break
            durable.append(path)
        self._fresh.difference_update(durable)

    def real(self, path: str) -> str:
        """Where `path` (relative, "" for the top) is on disk."""
        return f"{self.files}/{path}" if path else self.files

    def forget_commit(self) -> None:
        """Take the word back that it is complete; it was heard, or no longer holds."""
        try:
            self.disk.unlink(self.real(COMMIT))
        except FileNotFoundError:
            pass

    # What is shown once the journal, and not the disk, is the truth.

    def shown(self) -> tuple[dict[str, Entry], dict[str, set[str]]]:
        """Files by path, and the names in each directory ("" is the top), of a sealed bundle."""
        if self._shown is None or self._shown[0] is not self.journal:
            journal = self.journal
            files = {entry.path: entry for entry in journal.files}
            directories: dict[str, set[str]] = {"": set()}
            for path in files:
                while path:
                    parent, _, name = path.rpartition("/")
                    names = directories.setdefault(parent, set())
                    if name in names:
                        break
                    names.add(name)
                    path = parent
            self._shown = journal, files, directories
        return self._shown[1], self._shown[2]

    def empty(self) -> bool:
        """True if there is nothing in it but, perhaps, `.commit`."""
        return not any(name != COMMIT for name in os.listdir(self.files))
