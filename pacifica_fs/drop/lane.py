"""What the workers of one archive share.

The *clerk* decides when a bundle is complete. The *checker* hashes and has the archive check it. The *courier* sends,
one bundle at a time. The *tracker* follows what was sent until the archive has it. None of them holds a lock while it
hashes, waits or talks to a server; what they found out is applied under the bundle's lock, and only if its generation
is still the same.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import msgspec

from ..archive import Adds, Archive, Choosy, Inbox, Sidecars
from ..clock import Clock
from ..config import ArchiveSettings, DropSettings
from ..model import Bundle, FileRef, Metadata, Problem
from . import people
from .bundle import SpoolBundle
from .layout import DEFAULT, Layout
from .limits import Refusals
from .room import Room
from .seal import as_bundle, own_sidecars
from .sidecar import FIELDS, Reading, with_defaults
from .spool import Spool
from .states import State


class Lane:
    """One archive's side of the spool."""

    def __init__(
        self,
        settings: ArchiveSettings,
        archive: Archive,
        inbox: Inbox,
        drop: DropSettings,
        spool: Spool,
        room: Room,
        refusals: Refusals,
        clock: Clock,
    ) -> None:
        self.settings, self.archive, self.inbox, self.drop = settings, archive, inbox, drop
        self.spool, self.room, self.refusals, self.clock = spool, room, refusals, clock
        self.layout = layout_of(settings, inbox)
        self.choosy = inbox if isinstance(inbox, Choosy) else None
        self.stopping = threading.Event()
        self.words: Sidecars = getattr(inbox, "sidecars", Sidecars(FIELDS))

    def bundles(self, *states: State) -> list[SpoolBundle]:
        """Those of this archive that are in one of `states`, oldest first."""
        found = [
            one
            for one in self.spool.bundles.values()
            if one.journal.archive == self.settings.name and one.journal.state in states
        ]
        return sorted(found, key=lambda one: one.journal.id)

    def metadata(self, bundle: SpoolBundle, reading: Reading) -> Metadata:
        """The sidecar's, else that of the bundle before; with what the folder says and the configured defaults."""
        own = reading.metadata
        if own is None and (before := bundle.journal.inherited) is not None:
            own = msgspec.structs.replace(before, files=None)
        found = with_defaults(own or Metadata(), self.layout.merged(bundle.journal.name, self.settings.defaults))
        who = people.submitter(bundle.journal.uid, self.settings.users)
        return msgspec.structs.replace(found, fields={**found.fields, "submitter": who}) if who else found

    def problems(self, bundle: SpoolBundle, reading: Reading) -> tuple[Problem, ...]:
        """What is wrong with the sidecars by themselves, or with where they lie."""
        wrong = (
            reading.problems
            or people.problems(bundle.journal.uid, self.settings)
            or self.layout.contradictions(bundle.journal.name, reading.metadata)
        )
        return (*wrong, *(problem for one in own_sidecars(bundle, self.words).values() for problem in one.problems))

    def listed(self, bundle: SpoolBundle) -> Sequence[FileRef]:
        """What the archive lists of an ingested bundle, without a manifest that it made itself. NotFound."""
        journal = bundle.journal
        if isinstance(self.inbox, Adds):
            return self.inbox.added(self.bundle(bundle), journal.transaction)
        files = self.archive.files(journal.transaction)
        own = self.choosy.manifest if self.choosy else ""
        if not own or any(entry.path == own for entry in journal.files):
            return files
        return [ref for ref in files if ref.parts != (own,)]

    def place(self, container: str) -> str:
        """Where the mount shows a container, below the archive's folder."""
        return self.choosy.place(container) if self.choosy else f"transactions/{container}"

    def bundle(self, bundle: SpoolBundle) -> Bundle:
        """The value for the inbox."""
        return as_bundle(bundle, bundle.journal.metadata or Metadata(), self.words)


def layout_of(settings: ArchiveSettings, inbox: Inbox) -> Layout:
    """The archive's `layout`, configured or its own; ConfigError."""
    text = settings.layout or (inbox.layout if isinstance(inbox, Choosy) else DEFAULT)
    return Layout.parse(text, f"{settings.source or 'the configuration'}: archives.{settings.name}.layout")
