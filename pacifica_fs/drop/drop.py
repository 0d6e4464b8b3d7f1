"""The room's face: uploads of one daemon, from the folder that takes files to the archive that has them."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from ..archive import Archive, Inbox
from ..clock import Clock
from ..config import ArchiveSettings, DropSettings
from ..errors import Invalid, ReadOnly
from ..model import FileRef
from ..tree.nodes import Directory
from .bundle import SpoolBundle
from .closed import ClosedFolder
from .courier import Courier, again, resumed
from .disk import Disk
from .folder import ArchiveFolder, DropRoot
from .journal import Journal, load
from .lane import Checker, Clerk, Lane, hold_unclosed
from .room import Room
from .spool import Spool, unclosed, unmark
from .stack import Site
from .states import State
from .upload import Upload, upload
from .worker import Worker

log = logging.getLogger(__name__)

PATIENCE = 1.8
"""Seconds that `stop` waits for threads; what they still do then changes nothing any more."""


class Target(msgspec.Struct, frozen=True):
    """An archive that takes uploads."""

    settings: ArchiveSettings
    archive: Archive
    inbox: Inbox


class Drop:
    """The uploads below `root`. `adopt` gives an ingested file to the content store (True: taken); `owner` is a mount.

    `ingested` is called with an archive's name when it has a new container, before the bundle's state says so.

    Threading: every method from any thread; `start` and `stop` once each. Three threads for each archive.
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
    ) -> None:
        self.owner_elsewhere = ""
        self._root, self._settings, self.targets = root, settings, targets
        self._adopt, self._ingested, self._clock, self._owner = adopt, ingested, clock, owner
        self._spool = Spool(root, disk or Disk(), clock, settings.sidecar_names, self._stirred)
        self._workers: dict[str, tuple[Worker, Worker, Worker]] = {}
        self._lanes: dict[str, Lane] = {}
        self._couriers: dict[str, Courier] = {}
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
            self._folder = DropRoot({name: ClosedFolder(name, words) for name in self.targets})
            return
        self._spool.recover()
        for bundle in self._spool.bundles.values():
            if bundle.journal.state == State.OPEN and (paths := unclosed(bundle)):
                hold_unclosed(bundle, paths)
            elif bundle.journal.files or bundle.journal.state in (State.SEALED, State.CHECKING):
                # The journal says that every file was closed; a power cut brings marks back.
                unmark(bundle)
            resumed(bundle, self._clock.now())
        room = Room(self._root, self._settings.limit, self._settings.min_free, self._clock)
        folders: dict[str, Directory] = {}
        for name, target in self.targets.items():
            site = Site(
                target.settings, target.inbox.hash, self._spool, room, self._clock, float(self._settings.keep_done)
            )
            folders[name] = ArchiveFolder(site, self._settings.sidecar_names)
            self._hire(name, target, room)
        self._folder = DropRoot(folders)
        for workers in self._workers.values():
            for worker in workers:
                worker.start()

    def stop(self) -> None:
        """End within two seconds. An upload under way is cut, and resumed as after a crash."""
        for lane in self._lanes.values():
            lane.stopping.set()
        everyone = [worker for workers in self._workers.values() for worker in workers]
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

    def retry(self, id: str) -> None:
        """Try a held or failed bundle again, or look after an unconfirmed one now. NotFound, ReadOnly, Invalid."""
        if self.owner_elsewhere:
            raise ReadOnly(f"uploads are taken by another mount ({self.owner_elsewhere})")
        bundle = self._spool.get(id)
        if bundle.journal.state == State.DONE:
            raise Invalid(f"{bundle.journal.name} is done: transaction {bundle.journal.transaction}")
        again(bundle)
        if courier := self._couriers.get(bundle.journal.archive):
            courier.look_again(id)
        for worker in self._workers.get(bundle.journal.archive, ()):
            worker.wake()

    def discard(self, id: str) -> None:
        """Forget a bundle with all its files, as its user wishes. NotFound; Invalid for what is on its way."""
        if self.owner_elsewhere:
            raise ReadOnly(f"uploads are taken by another mount ({self.owner_elsewhere})")
        bundle = self._spool.get(id)
        with self._spool.index, bundle.lock:
            journal = bundle.journal
            asked = journal.state == State.HELD and not journal.transaction
            if bundle.handles or bundle.busy or not (journal.revisable or asked):
                raise Invalid(f"{journal.name} is {journal.state} or in use, and cannot be discarded now")
            self._spool.discard(bundle)

    def idle(self) -> bool:
        """True if nothing is under way that would go on by itself."""
        return not any(
            journal.state in _UNDER_WAY
            or (journal.state == State.DONE and not journal.cleared)
            or (journal.state == State.OPEN and (bundle.scheduled or bundle.urgent))
            for bundle in self._spool.bundles.values()
            for journal in (bundle.journal,)
        )

    def wake(self) -> None:
        """Have everybody look now; for a clock that was moved."""
        for workers in self._workers.values():
            for worker in workers:
                worker.wake()

    def _hire(self, name: str, target: Target, room: Room) -> None:
        lane = Lane(target.settings, target.archive, target.inbox, self._settings, self._spool, self._clock)
        courier = Courier(lane, self._adopt, lambda size: room.take(-size), self._ingested)
        sender = Worker(f"drop {name}: send", courier.step)
        checker = Worker(f"drop {name}: check", Checker(lane, sender.wake).step)
        clerk = Worker(f"drop {name}: seal", Clerk(lane, checker.wake).step)
        self._lanes[name], self._couriers[name] = lane, courier
        self._workers[name] = clerk, checker, sender

    def _stirred(self, bundle: SpoolBundle) -> None:
        # Who writes many files must not wake a thread for each: if the clerk looks again by itself, leave it alone.
        if bundle.scheduled and not bundle.urgent:
            return
        if workers := self._workers.get(bundle.journal.archive):
            workers[0].wake()

    def _upload(self, bundle: SpoolBundle) -> Upload:
        journal = bundle.journal
        files = size = None
        if journal.revisable and not journal.files:
            files, size = _count(bundle.files)
        if journal.archive not in self.targets:
            words = f"the archive {journal.archive}, which is not configured any more"
            return upload(journal, files=files, size=size, waiting_for="" if journal.state == State.DONE else words)
        live = journal.state in (State.OPEN, State.INGESTING, State.UNCONFIRMED)
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


def read_uploads(root: Path) -> list[Upload]:
    """Every bundle of a spool, newest first, from the journals only; needs no daemon."""
    journals: list[Journal] = []
    try:
        names = sorted(os.listdir(root / "bundles"), reverse=True)
    except FileNotFoundError:
        return []
    for name in names:
        if not name.startswith("."):
            try:
                journals.append(load(root / "bundles" / name))
            except (OSError, ValueError) as error:
                log.warning("%s cannot be read: %s", root / "bundles" / name, error)
    found = []
    for journal in journals:
        files = size = None
        if journal.revisable and not journal.files:
            files, size = _count(str(root / "bundles" / journal.id / "files"))
        found.append(upload(journal, files=files, size=size))
    return found


def _count(folder: str) -> tuple[int, int]:
    files = size = 0
    for base, _, names in os.walk(folder):
        for name in names:
            try:
                size += os.lstat(os.path.join(base, name)).st_size
                files += 1
            except FileNotFoundError:
                continue
    return files, size
