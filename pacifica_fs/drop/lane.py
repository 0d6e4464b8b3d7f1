"""What the three workers of one archive share, and the first two of them.

The *clerk* decides when a bundle is complete, and judges a sidecar as soon as it is closed. The *checker* hashes what
nobody hashed yet and has the archive check everything before a byte is sent. The *courier* (its own module) sends, one
bundle at a time. None of them holds a lock while it hashes, waits or talks to a server; what they found out is applied
under the bundle's lock, and only if its generation is still the same.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable

import msgspec

from ..archive import Archive, Inbox
from ..clock import Clock
from ..config import ArchiveSettings, DropSettings
from ..errors import PacificaFSError
from ..model import Bundle, Metadata, Problem
from .bundle import SpoolBundle
from .complete import COMMIT, Facts, Rules, decide
from .journal import seconds
from .seal import Interrupted, as_bundle, entries, known_already, look, not_kept, sidecar
from .sidecar import FIELDS, Reading, with_defaults
from .spool import Spool
from .states import Event, State
from .worker import Pauses

log = logging.getLogger(__name__)

WHILE_OPEN = 1.0
REWRITE = "Write it again, or remove it."


class Lane:
    """One archive's side of the spool."""

    def __init__(
        self, settings: ArchiveSettings, archive: Archive, inbox: Inbox, drop: DropSettings, spool: Spool, clock: Clock
    ) -> None:
        self.settings, self.archive, self.inbox, self.drop = settings, archive, inbox, drop
        self.spool, self.clock = spool, clock
        self.stopping = threading.Event()
        self.fields: Iterable[str] = getattr(inbox, "fields", FIELDS)

    def bundles(self, *states: State) -> list[SpoolBundle]:
        """Those of this archive that are in one of `states`, oldest first."""
        found = [
            one
            for one in self.spool.bundles.values()
            if one.journal.archive == self.settings.name and one.journal.state in states
        ]
        return sorted(found, key=lambda one: one.journal.id)

    def metadata(self, bundle: SpoolBundle, reading: Reading) -> Metadata:
        """The sidecar's, else that of the bundle before; with the configured defaults."""
        own = reading.metadata
        if own is None and (before := bundle.journal.inherited) is not None:
            own = msgspec.structs.replace(before, files=None)
        return with_defaults(own or Metadata(), self.settings.defaults)

    def bundle(self, bundle: SpoolBundle) -> Bundle:
        """The value for the inbox."""
        return as_bundle(bundle, bundle.journal.metadata or Metadata())


class Clerk:
    """Decides when bundles are complete, and judges sidecars early."""

    def __init__(self, lane: Lane, sealed: Callable[[], None]) -> None:
        self._lane, self._sealed = lane, sealed
        drop = lane.drop
        self._rules = Rules(float(drop.quiet), float(drop.quiet_unmarked), lane.inbox.reversible)

    def step(self) -> float | None:
        """Look at every open bundle; when to look again."""
        due: float | None = None
        for bundle in self._lane.bundles(State.OPEN):
            if self._lane.stopping.is_set():
                return None
            at = self._attend(bundle)
            if at is not None:
                due = at if due is None else min(due, at)
        return None if due is None else max(0.0, due - self._lane.clock.monotonic())

    def _attend(self, bundle: SpoolBundle) -> float | None:
        bundle.scheduled = True
        committed = bundle.journal.committed or os.path.exists(bundle.real(COMMIT))
        if bundle.unread and not any(bundle.is_sidecar(file.path) for file in list(bundle.handles.values())):
            self._judge(bundle)
        generation = bundle.generation
        facts = self._facts(bundle, committed)
        decision = decide(facts, self._rules)
        if decision.seal:
            found = look(bundle)
            taken = bundle.reading[0] if bundle.reading else ""
            facts = msgspec.structs.replace(
                facts,
                data=any(path != taken for path, _ in found.files),
                temporary=found.temporary,
                unclosed=found.unclosed,
            )
            decision = decide(facts, self._rules)
            nothing = False
            with bundle.lock:
                if generation != bundle.generation or bundle.handles or bundle.journal.state != State.OPEN:
                    bundle.scheduled = False
                    return self._lane.clock.monotonic() + (WHILE_OPEN if bundle.handles else 0.0)
                if facts.unclosed:
                    hold_unclosed(bundle, found.unclosed)
                elif facts.follows and not facts.data:
                    bundle.forget_commit()
                    nothing = not found.files
                elif decision.seal:
                    bundle.retry_at = 0.0
                    bundle.transition(Event.COMPLETE, sealed_by=decision.reason, committed=committed)
                    self._sealed()
                    bundle.forget_commit()  # only now: a word that could not be noted must still be there
            if nothing:
                self._lane.spool.discard(
                    bundle, unless=lambda: generation != bundle.generation or bool(bundle.handles) or not bundle.empty()
                )
        bundle.waiting_for = decision.reason
        bundle.urgent = facts.committed or facts.listed
        if facts.opened:
            return facts.now + WHILE_OPEN
        bundle.scheduled = decision.at is not None
        return decision.at

    def _facts(self, bundle: SpoolBundle, committed: bool) -> Facts:
        reading = bundle.reading[1] if bundle.reading else Reading()
        listed = reading.metadata.files if reading.metadata else None
        return Facts(
            now=self._lane.clock.monotonic(),
            changed=bundle.changed,
            committed=committed,
            follows=bool(bundle.journal.follows),
            gap=bundle.gap,
            sidecar=bundle.sidecar_at if bundle.reading and bundle.reading[0] else None,
            last_data=bundle.data_at,
            listed=listed is not None,
            missing=[path for path in listed or () if not os.path.isfile(bundle.real(path))],
            opened=sorted(file.path for file in list(bundle.handles.values())),
        )

    def _judge(self, bundle: SpoolBundle) -> None:
        """The verdict on a sidecar while its data may still be copied."""
        bundle.unread = False
        taken, reading = sidecar(bundle, self._lane.fields)
        bundle.reading = taken, reading
        journal = bundle.journal
        if not taken and not journal.sidecar and not journal.problems:
            return
        metadata = self._lane.metadata(bundle, reading)
        problems = reading.problems
        if taken and not problems:
            try:
                problems = tuple(
                    self._lane.inbox.check(Bundle(journal.id, journal.archive, journal.name, (), metadata))
                )
            except PacificaFSError as error:
                log.info("%s: the sidecar could not be checked yet: %s", journal.name, error)
        with bundle.lock:
            if bundle.journal.state == State.OPEN:
                bundle.note(sidecar=taken, metadata=metadata, problems=problems)


class Checker:
    """Hashes and checks what is sealed; tries again what an outage held."""

    def __init__(self, lane: Lane, passed: Callable[[], None]) -> None:
        self._lane, self._passed = lane, passed
        self._outages = Pauses(10.0, 600.0)

    def step(self) -> float | None:
        """Check every sealed bundle that is due; when to look again."""
        lane = self._lane
        due: list[float] = []
        for bundle in lane.bundles(State.HELD):
            if bundle.journal.outage:
                at = self._outages.due(bundle.journal.id)
                if at <= lane.clock.monotonic():
                    with bundle.lock:
                        if bundle.journal.state == State.HELD and bundle.journal.outage:
                            bundle.transition(Event.RETRY)
                else:
                    due.append(at)
        for bundle in lane.bundles(State.CHECKING):
            # Nobody works on it: noting the verdict failed (a full disk), so it is made again.
            with bundle.lock:
                if bundle.journal.state == State.CHECKING and not bundle.passed and not bundle.busy:
                    bundle.transition(Event.INTERRUPTED)
        for bundle in lane.bundles(State.SEALED):
            if lane.stopping.is_set():
                return None
            if bundle.retry_at > lane.clock.monotonic():
                due.append(bundle.retry_at)
            else:
                self._check(bundle)
                if bundle.journal.outage:
                    due.append(self._outages.due(bundle.journal.id))
        return max(0.0, min(due) - lane.clock.monotonic()) if due else None

    def _check(self, bundle: SpoolBundle) -> None:
        lane = self._lane
        generation = bundle.generation
        bundle.passed = False
        found = look(bundle)
        taken, reading = sidecar(bundle, lane.fields)
        bundle.reading, bundle.unread = (taken, reading), False

        def go_on() -> bool:
            return generation == bundle.generation and not lane.stopping.is_set()

        try:
            files = entries(bundle, found, taken, lane.inbox.hash, go_on)
        except Interrupted:
            # Its writers opened it again, or we stop; a file that changed by itself is looked at once more.
            bundle.retry_at = lane.clock.monotonic() + WHILE_OPEN
            return
        earlier = [
            one.journal
            for one in lane.spool.by_name.get((bundle.journal.archive, bundle.journal.name), ())
            if one.journal.state == State.DONE and one is not bundle
        ]
        kept, left_out = known_already(files, earlier)
        with bundle.lock:
            if not go_on() or bundle.journal.state != State.SEALED:
                return
            if found.unclosed:
                hold_unclosed(bundle, found.unclosed)
                return
            bundle.transition(
                Event.PICKED,
                files=kept,
                left_out=left_out,
                not_kept=not_kept(found),
                sidecar=taken,
                metadata=lane.metadata(bundle, reading),
            )
        problems, outage = self._problems(bundle, reading)
        with bundle.lock:
            if not go_on() or State(bundle.journal.state) != State.CHECKING:
                return
            if problems:
                if outage:
                    self._outages.later(bundle.journal.id, lane.clock.monotonic())
                bundle.transition(Event.REFUSED, problems=problems, outage=outage)
            elif left_out and not any(entry.role == "data" for entry in kept):
                bundle.transition(Event.KNOWN, problems=(), outage=False, transaction=_transaction(earlier))
            else:
                self._outages.soon(bundle.journal.id)
                bundle.note(problems=(), outage=False)
                bundle.passed = True
        self._passed()

    def _problems(self, bundle: SpoolBundle, reading: Reading) -> tuple[tuple[Problem, ...], bool]:
        """What keeps it from being sent, and whether that is only an outage."""
        lane = self._lane
        if reading.problems:
            return reading.problems, False
        try:
            value = lane.bundle(bundle)
            problems = tuple(lane.inbox.check(value))
            most = lane.settings.max_bundle
            if not problems and most is not None and (length := lane.inbox.length(value)) > most:
                what = f"the upload would be {length} bytes, {lane.settings.name} takes {int(most)} at once"
                problems = (Problem(what, "Put the files into several folders."),)
            return problems, False
        except PacificaFSError as error:
            return (Problem(f"{lane.settings.name} could not be asked: {error}", "It is tried again by itself."),), True


def hold_unclosed(bundle: SpoolBundle, paths: Iterable[str]) -> None:
    """Hold a bundle for the files that a crash cut off; its lock is held."""
    problems = tuple(Problem("was being written when the mount stopped", REWRITE, path) for path in paths)
    bundle.transition(Event.UNCLOSED, problems=problems, files=())


def _transaction(earlier: Iterable[object]) -> str:
    journals = sorted(earlier, key=lambda one: seconds(getattr(one, "created", "")))
    return str(getattr(journals[-1], "transaction", "")) if journals else ""
