"""The writing side of a local archive: a bundle becomes a transaction, once, however often it is sent."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from ...errors import Invalid, NotFound
from ...model import Bundle, Problem, Progress, Ticket
from .folder import PATH_MAX, ArchiveFolder, sync_directory, valid_id, write_durably
from .incoming import fill, incoming, sweep
from .record import FILES, NAME, Header, encode, load, record
from .rules import problems


class LocalInbox:
    """Implements `archive.Inbox`. Any thread, and any number of programs, may send at once."""

    reversible = True

    def __init__(self, folder: ArchiveFolder, hash: str, login: str) -> None:
        self.hash = hash
        self._folder = folder
        self._login = login

    def check(self, bundle: Bundle) -> Sequence[Problem]:
        """The local rules, then whether the folder can take the bytes. Nothing of the metadata is required."""
        found = problems(bundle, self._room())
        self._folder.require()
        if not os.access(self._folder.transactions, os.W_OK | os.X_OK):
            found.append(Problem(f"{self._folder.root} cannot be written", "give yourself write permission there"))
        with self._folder.errors(f"{self._folder.root} cannot be asked for its free space"):
            free = shutil.disk_usage(self._folder.root).free
        if free < bundle.size:
            found.append(Problem(f"{self._folder.root} has {free} bytes free, {bundle.size} are needed", "make room"))
        return found

    def length(self, bundle: Bundle) -> int:
        """The bytes of its files: there is no framing."""
        return bundle.size

    def send(self, bundle: Bundle, sent: Callable[[int], None], last: Callable[[], None]) -> Ticket:
        """Copy, verify, and publish by one rename. A bundle that was published before is not published again.

        Invalid where it breaks a rule of `check`, Corrupt where a source is not what its digest says, NoSpace,
        Denied, Unreachable; the archive is unchanged by all of them if they come before `last`.
        """
        refused = problems(bundle, self._room())
        if refused:
            raise Invalid("; ".join(problem.what for problem in refused[:3]))
        self._need_index()
        published = self._published(bundle.id)
        if published:
            sent(self.length(bundle))
            last()
            return self._ticket(bundle, published)
        sweep(self._folder)
        with incoming(self._folder) as made:
            with contextlib.closing(fill(made, bundle.files)) as copied:
                while (total := self._next_piece(bundle, copied)) is not None:
                    sent(total)
            return self._ticket(bundle, self._publish(bundle, made, last))

    def poll(self, ticket: Ticket) -> Progress:
        """What was published is done. NotFound where it was removed by hand."""
        if not self._folder.has(ticket.job):
            raise NotFound(f"{self._folder.root}: there is no transaction {ticket.job!r}")
        return Progress("done", task="published", percent=100.0, container=ticket.job)

    def find(self, bundle: Bundle) -> Sequence[str]:
        """The transaction of this bundle's id, if it was published."""
        self._need_index()
        published = self._published(bundle.id)
        return (published,) if published else ()

    def _next_piece(self, bundle: Bundle, copied: Generator[int, None, None]) -> int | None:
        with self._folder.errors(f"the bundle '{bundle.name}' cannot be copied"):
            return next(copied, None)

    def _publish(self, bundle: Bundle, made: Path, last: Callable[[], None]) -> str:
        """Give `made` an id and its place, unless another program published the bundle meanwhile."""
        folder = self._folder
        with folder.locked() as sequence:
            published = self._published(bundle.id)
            if published:
                last()
                return published
            with folder.errors(f"the bundle '{bundle.name}' cannot be published"):
                id = str(self._next(sequence))
                value = record(bundle, id, self._login, folder.clock.now())
                write_durably(made / NAME, encode(value), made)
                os.utime(made, ns=(value.submitted_ns, value.submitted_ns))
                sync_directory(made)
                # Before the rename, so that a crash between them can only leave a note that `_published` sees through.
                write_durably(folder.index(bundle.id), id.encode(), made.parent, 0o644)
            last()
            with folder.errors(f"the bundle '{bundle.name}' cannot be published as transaction {id}"):
                os.rename(made, folder.transactions / id)
                sync_directory(folder.transactions)
                os.ftruncate(sequence, 0)
                os.pwrite(sequence, f"{id}\n".encode(), 0)
            return id

    def _next(self, sequence: int) -> int:
        """The id after the last one given, which is never given again even if its transaction was removed by hand."""
        noted = os.pread(sequence, 32, 0).strip().decode("ascii", "replace")
        last = int(noted) if valid_id(noted) else 0
        if last == 0 or os.path.lexists(self._folder.transactions / str(last + 1)):
            last = max(self._folder.ids(), default=last)
        return last + 1

    def _published(self, bundle: str) -> str:
        """The transaction that holds this bundle; empty if none. The index is believed only where the JSON agrees."""
        folder = self._folder
        with folder.errors(f"{folder.bundles} cannot be read"):
            try:
                id = folder.index(bundle).read_text("ascii", "replace").strip()
            except FileNotFoundError:
                folder.require()
                return ""
        try:
            return id if load(folder, id, Header).bundle == bundle else ""
        except NotFound:
            return ""

    def _need_index(self) -> None:
        """Make `bundles/` from the transactions where it is missing; of several programs the first one's is taken."""
        folder = self._folder
        folder.require()
        if folder.bundles.is_dir():
            return
        with incoming(folder) as made, folder.errors(f"{folder.bundles} cannot be made"):
            fresh = ArchiveFolder(folder.root, folder.clock)
            fresh.bundles = made.with_name("bundles")
            fresh.bundles.mkdir()
            for id in folder.ids():
                fresh.index(load(folder, str(id), Header).bundle).write_text(str(id))
            try:
                os.rename(fresh.bundles, folder.bundles)
            except OSError:
                if not folder.bundles.is_dir():
                    raise

    def _room(self) -> int:
        longest = self._folder.incoming / uuid.uuid4().hex / "transaction" / FILES
        return PATH_MAX - len(os.fsencode(longest)) - 1

    @staticmethod
    def _ticket(bundle: Bundle, id: str) -> Ticket:
        return Ticket(id, {"transaction": id, "files": len(bundle.files), "bytes": bundle.size})
