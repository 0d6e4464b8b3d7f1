"""The room's face: uploads of one daemon, from the folder that takes files to the archive that has them."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from ..archive import Archive, Guides, Inbox
from ..clock import Clock
from ..config import ArchiveSettings, DropSettings
from ..errors import Denied, Invalid, ReadOnly, Unsupported
from ..model import FileRef
from ..tree.nodes import Directory
from . import requests
from .allowed import Allowed
from .bundle import SpoolBundle
from .checker import Checker
from .clerk import Clerk, hold_unclosed
from .closed import ClosedFolder
from .courier import Courier, again, resumed
from .disk import Disk
from .folder import DropRoot, level
from .herald import Herald, teller
from .journal import Journal
from .lane import Lane, layout_of
from .limits import Refusals
from .offline import count, read_uploads
from .requests import Request
from .room import Room
from .spool import Spool, unclosed, unmark
from .stack import Site
from .states import State
from .taking import take
from .tracker import Tracker, kept_until
from .upload import Upload, upload
from .worker import Worker

log = logging.getLogger(__name__)

PATIENCE = 1.8
"""Seconds that `stop` waits for threads; what they still do then changes nothing any more."""


CLERK, CHECKER, SENDER, TRACKER = range(4)


class Target(msgspec.Struct, frozen=True):
    """An archive that takes uploads."""

    settings: ArchiveSettings
    archive: Archive
    inbox: Inbox


class Drop:
    """The uploads below `root`. `adopt` gives an ingested file to the content store (True: taken); `owner` is a mount.

    `ingested` is called with an archive's name when it has a new container, before the bundle's state says so.
    `caller` says whose request the calling thread answers.

    Threading: every method from any thread; `start` and `stop` once each. Four threads for each archive, and one.
    ConfigError if an archive's `layout` is wrong.
    """

    def __init__(
        self,
        root: Path,
        settings: DropSettings,
        targets: Mapping[str, Target],
        adopt: Callable[[FileRef, Path], bool],
        clock: Clock,
        owner: str,
        disk: Disk | None = None,
        ingested: Callable[[str], None] = lambda archive: None,
        caller: Callable[[], int] = os.getuid,
    ) -> None:
        self.owner_elsewhere = ""
        self._caller = caller
        self._root, self._settings, self.targets = root, settings, targets
        self._adopt, self._ingested, self._clock, self._owner = adopt, ingested, clock, owner
        self._spool = Spool(
            root, disk or Disk(), clock, settings.sidecar_names, self._stirred, float(settings.quiet_unmarked)
        )
        self._refusals = Refusals(root, disk or Disk())
        self._sites = {name: layout_of(target.settings, target.inbox) for name, target in targets.items()}
        self._workers: dict[str, tuple[Worker, ...]] = {}
        self._stopping = threading.Event()
        self._herald: Worker | None = None
        self._lanes: dict[str, Lane] = {}
        self._trackers: dict[str, Tracker] = {}
        self._room: Room | None = None
        self._folder: Directory = DropRoot({})

    def start(self) -> None:
        """Take the spool, resume what is in it, and begin to work.

        ConfigError if the spool is of another version. If another daemon owns the spool, `owner_elsewhere` says who,
        and nothing here can be changed.
        """
        other = self._spool.acquire(self._owner)
        if other is not None:
            self.owner_elsewhere = str(other)
            words = f"uploads are taken by another mount ({other})"
            log.warning("%s; drop/ is read-only here", words)
            self._folder = DropRoot({name: ClosedFolder(name, words) for name in self.targets})
            return
        self._spool.recover()
        self._refusals.load()
        for bundle in self._spool.bundles.values():
            if bundle.journal.state == State.OPEN and (paths := unclosed(bundle)):
                hold_unclosed(bundle, paths)
            elif bundle.journal.files or bundle.journal.state in (State.SEALED, State.CHECKING):
                # The journal says that every file was closed; a power cut brings marks back.
                unmark(bundle)
            resumed(bundle, self._clock.now())
        room = self._room = Room(self._root, self._settings.limit, self._settings.min_free, self._clock)
        folders: dict[str, Directory] = {}
        for name, target in self.targets.items():
            folders[name] = level(self._site(name, target, room), self._settings.sidecar_names)
            self._hire(name, target, room)
        self._folder = DropRoot(folders, self.control)
        requests.serve(self._root, self._do, self._spool.disk)
        if self._settings.on_state:
            herald = Herald(self._spool, teller(self._settings.on_state), self._clock, self._stopping.is_set)
            self._herald = Worker("drop: on_state", herald.step)
        for worker in self._everyone():
            worker.start()

    def _site(self, name: str, target: Target, room: Room) -> Site:
        return Site(
            target.settings,
            target.inbox.hash,
            self._spool,
            room,
            self._clock,
            float(self._settings.keep_done),
            self._sites[name],
            Allowed(target.inbox),
            self._settings.symlinks == "follow",
            self._caller,
            target.inbox if isinstance(target.inbox, Guides) else None,
        )

    def _everyone(self) -> list[Worker]:
        found = [worker for workers in self._workers.values() for worker in workers]
        return [*found, self._herald] if self._herald else found

    def stop(self) -> None:
        """End within two seconds. An upload under way is cut, and resumed as after a crash."""
        for lane in self._lanes.values():
            lane.stopping.set()
        self._stopping.set()
        everyone = self._everyone()
        for worker in everyone:
            worker.stop()
        # Threads end in the machine's time, whatever the clock of the bundles says.
        until = time.monotonic() + PATIENCE
        for worker in everyone:
            if not worker.join(max(0.0, until - time.monotonic())):
                log.warning("an upload could not be cut in time; it changes nothing any more")
        self._spool.release()

    def folder(self) -> Directory:
        """The `drop/` node."""
        return self._folder

    def uploads(self) -> list[Upload]:
        """Every bundle, newest first. Takes no lock."""
        if self.owner_elsewhere:
            return read_uploads(self._root)
        bundles = sorted(self._spool.bundles.values(), key=lambda one: one.journal.id, reverse=True)
        return [self._upload(bundle) for bundle in bundles]

    def control(self, data: bytes) -> None:
        """Do what a user asks (see `requests`). Invalid, NotFound, Denied, ReadOnly, Unsupported, NoSpace."""
        request, uid = requests.parse(data), self._caller()
        own = os.getuid()
        if uid not in (own, 0, self._mine(request.id).journal.uid):
            raise Denied("this bundle is somebody else's")
        if request.do == "take" and uid != own:
            # What the daemon may read is not what the caller may.
            raise Unsupported("files are taken without a copy for the daemon's own user only")
        self._do(request)

    def _do(self, request: Request) -> None:
        if request.do == "retry":
            self.retry(request.id, request.again)
        elif request.do == "discard":
            self.discard(request.id)
        else:
            take(self._mine(request.id), self._room, request.source, request.path)

    def _mine(self, id: str) -> SpoolBundle:
        if self.owner_elsewhere:
            raise ReadOnly(f"uploads are taken by another mount ({self.owner_elsewhere})")
        return self._spool.get(id)

    def retry(self, id: str, everything: bool = False) -> None:
        """Try a held or failed bundle again, or look after an unconfirmed one now. NotFound, ReadOnly, Invalid.

        `everything`: send also what the archive has already.
        """
        bundle = self._mine(id)
        journal = bundle.journal
        if journal.state == State.DONE and not (everything and journal.unsent and not journal.cleared):
            raise Invalid(f"{journal.name} is done: transaction {journal.transaction}")
        if journal.state == State.HELD:
            self._refusals.forget(journal.archive)
        again(bundle, everything)
        if tracker := self._trackers.get(journal.archive):
            tracker.look_again(id)
        for worker in self._workers.get(journal.archive, ()):
            worker.wake()

    def discard(self, id: str) -> None:
        """Forget a bundle with all its files, as its user wishes. NotFound; Invalid for what is on its way."""
        bundle = self._mine(id)
        with self._spool.index, bundle.lock:
            journal = bundle.journal
            asked = journal.state == State.HELD and not journal.transaction
            if bundle.handles or bundle.busy or not (journal.revisable or asked):
                raise Invalid(f"{journal.name} is {journal.state} or in use, and cannot be discarded now")
            size = count(bundle.files)[1]
            self._spool.discard(bundle)
        if self._room is not None:
            self._room.take(-size)

    def idle(self) -> bool:
        """True if nothing is under way that would go on by itself."""
        return not any(
            journal.state in _UNDER_WAY
            or (journal.state == State.DONE and not journal.cleared and kept_until(journal) <= self._clock.now())
            or (journal.state == State.OPEN and (bundle.scheduled or bundle.urgent))
            for bundle in self._spool.bundles.values()
            for journal in (bundle.journal,)
        )

    def wake(self) -> None:
        """Have everybody look now; for a clock that was moved."""
        for worker in self._everyone():
            worker.wake()

    def _hire(self, name: str, target: Target, room: Room) -> None:
        lane = Lane(
            target.settings,
            target.archive,
            target.inbox,
            self._settings,
            self._spool,
            room,
            self._refusals,
            self._clock,
        )

        def wake(number: int) -> None:
            self._workers[name][number].wake()
            if number == SENDER and self._herald:
                self._herald.wake()

        def sent() -> None:
            wake(TRACKER)
            wake(CHECKER)  # what broke is checked and sent again

        tracker = Tracker(lane, self._adopt, lambda size: room.take(-size), self._ingested, lambda: wake(SENDER))
        self._lanes[name], self._trackers[name] = lane, tracker
        self._workers[name] = (
            Worker(f"drop {name}: seal", Clerk(lane, lambda: wake(CHECKER)).step),
            Worker(f"drop {name}: check", Checker(lane, lambda: wake(SENDER)).step, modest=True),
            Worker(f"drop {name}: send", Courier(lane, tracker, sent).step, modest=True),
            Worker(f"drop {name}: follow", tracker.step),
        )

    def _stirred(self, bundle: SpoolBundle) -> None:
        # Who writes many files must not wake a thread for each: if the clerk looks again by itself, leave it alone.
        if bundle.scheduled and not bundle.urgent:
            return
        if workers := self._workers.get(bundle.journal.archive):
            workers[CLERK].wake()

    def _upload(self, bundle: SpoolBundle) -> Upload:
        journal = bundle.journal
        if not journal.cleared:
            return self._picture(bundle, journal)
        # What is done changes no more, and there may be thousands of such, of thousands of files each.
        last = bundle.picture
        if last is None or last[0] is not journal:
            last = bundle.picture = journal, self._picture(bundle, journal)
        return last[1]

    def _picture(self, bundle: SpoolBundle, journal: Journal) -> Upload:
        files = size = None
        if journal.revisable and not journal.files:
            files, size = count(bundle.files)
        if journal.archive not in self.targets:
            words = f"the archive {journal.archive}, which is not configured any more"
            return upload(journal, files=files, size=size, waiting_for="" if journal.state == State.DONE else words)
        live = journal.state in (State.OPEN, State.SEALED, State.INGESTING, State.UNCONFIRMED)
        return upload(
            journal,
            files=files,
            size=size,
            sent=bundle.sent,
            task=bundle.task,
            percent=bundle.percent,
            waiting_for=bundle.waiting_for if live else "",
        )


_UNDER_WAY = frozenset({State.SEALED, State.CHECKING, State.SENDING, State.INGESTING, State.UNCONFIRMED})
