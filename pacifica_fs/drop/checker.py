"""The worker that hashes what nobody hashed yet and has the archive check everything before a byte is sent."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

from ..errors import PacificaFSError
from ..model import Problem
from .bundle import SpoolBundle
from .clerk import WHILE_OPEN, hold_unclosed
from .complete import plain
from .journal import Entry, Journal, LeftOut, seconds
from .lane import Lane
from .links import resolve_links
from .seal import Interrupted, chosen, entries, known_already, look, not_kept, own_sidecars, sidecar
from .sidecar import Reading
from .states import Event, State
from .worker import Apart, Pauses

DECIDED = frozenset({State.DONE, State.FAILED})
MANY = 20
"""How many names are listed in the problems of one bundle."""
UNDER_WAY = frozenset({State.SENDING, State.INGESTING, State.UNCONFIRMED})


class Checker:
    """Hashes and checks what is sealed, the smallest first; tries again what an outage held."""

    def __init__(self, lane: Lane, passed: Callable[[], None]) -> None:
        self._lane, self._passed = lane, passed
        self._outages = Pauses(2.0, 60.0)
        self._apart = Apart()
        self._overtook = False

    def step(self) -> float | None:
        """Check every sealed bundle that is due; when to look again."""
        lane = self._lane
        due = self._free()
        for bundle in lane.bundles(State.CHECKING):
            # Nobody works on it: noting the verdict failed (a full disk), so it is made again.
            with bundle.lock:
                if bundle.journal.state == State.CHECKING and not bundle.passed and not bundle.busy:
                    bundle.transition(Event.INTERRUPTED)
        self._apart, self._overtook = Apart(), False
        for _, bundle in self._ready():
            if lane.stopping.is_set():
                return None
            if bundle.journal.state != State.SEALED:
                continue  # it was checked while a larger one was hashed
            with self._apart.one(bundle):
                self._check(bundle)
            if bundle.journal.outage:
                due.append(self._outages.due(bundle.journal.id))
        self._apart.end()
        if self._overtook:
            return 0.0
        due += [one.retry_at for one in lane.bundles(State.SEALED)]
        return max(0.0, min(due) - lane.clock.monotonic()) if due else None

    def _ready(self) -> list[tuple[int, SpoolBundle]]:
        """What is sealed and due, with its bytes, the smallest first."""
        now = self._lane.clock.monotonic()
        found = [(_weight(one), one) for one in self._lane.bundles(State.SEALED) if one.retry_at <= now]
        return sorted(found, key=lambda pair: (pair[0], pair[1].journal.id))

    def _overtake(self, bundle: SpoolBundle, weight: int) -> None:
        """Check what is smaller than `bundle`, which is being hashed and may be for an hour."""
        self._free()
        for size, other in self._ready():
            if size >= weight:
                return
            if other is not bundle and not self._lane.stopping.is_set():
                self._overtook = True
                with self._apart.one(other):
                    self._check(other)

    def _free(self) -> list[float]:
        """Have what an outage held checked again; when the rest of them is due."""
        lane = self._lane
        due = []
        for bundle in lane.bundles(State.HELD):
            if bundle.journal.outage:
                at = max(self._outages.due(bundle.journal.id), bundle.retry_at)
                if at > lane.clock.monotonic():
                    due.append(at)
                    continue
                with bundle.lock:
                    if bundle.journal.state == State.HELD and bundle.journal.outage:
                        bundle.transition(Event.RETRY)
        return due

    def _check(self, bundle: SpoolBundle) -> None:
        lane = self._lane
        generation = bundle.generation
        bundle.passed = False

        def go_on() -> bool:
            return generation == bundle.generation and not lane.stopping.is_set()

        broken = resolve_links(bundle, lane.room, go_on)
        found = look(bundle)
        if found.foreign:
            self._unreadable(bundle, found.foreign, generation)
            return
        weight = sum(state.st_size for _, state in found.files)
        looked = lane.clock.monotonic()

        def hash_on() -> bool:
            nonlocal looked
            now = lane.clock.monotonic()
            if now - looked >= WHILE_OPEN:
                looked = now
                self._overtake(bundle, weight)
            return go_on()

        taken, reading = sidecar(bundle, lane.words)
        own = own_sidecars(bundle, lane.words)
        bundle.reading, bundle.unread = (taken, reading), False
        try:
            files = entries(bundle, found, taken, lane.inbox.hash, hash_on, own)
        except Interrupted:
            # Its writers opened it again, or we stop; a file that changed by itself is looked at once more.
            bundle.retry_at = lane.clock.monotonic() + WHILE_OPEN
            return
        before = [
            one.journal
            for one in lane.spool.by_name.get((bundle.journal.archive, bundle.journal.name), ())
            if one is not bundle and one.journal.uid == bundle.journal.uid
        ]
        earlier = [] if bundle.journal.again else [one for one in before if one.state == State.DONE]
        if not bundle.journal.again and (first := _overlap(files, before)):
            # Whether these files are in the archive is just being decided.
            bundle.waiting_for = f"the upload before it ({first}), which has files of this one"
            bundle.retry_at = lane.clock.monotonic() + WHILE_OPEN
            return
        metadata = lane.metadata(bundle, reading)
        if lane.choosy is not None:
            files, rubbish = chosen(files, metadata, lane.choosy)
            broken += rubbish
        kept, left_out = known_already(files, earlier)
        if lane.choosy is not None and lane.choosy.whole and any(entry.role == "data" for entry in kept):
            kept, left_out = tuple(files), ()
        with bundle.lock:
            if not go_on() or bundle.journal.state != State.SEALED:
                return
            if found.unclosed:
                hold_unclosed(bundle, found.unclosed)
                return
            bundle.waiting_for = ""
            bundle.transition(
                Event.PICKED,
                files=kept,
                left_out=(*left_out, *broken),
                not_kept=not_kept(found),
                sidecar=taken,
                metadata=metadata,
            )
        problems, outage = self._problems(bundle, reading)
        with bundle.lock:
            if not go_on() or State(bundle.journal.state) != State.CHECKING:
                return
            self._judged(bundle, problems, outage, left_out, earlier)
        self._passed()

    def _unreadable(self, bundle: SpoolBundle, paths: Sequence[str], generation: int) -> None:
        """Hold a bundle with names that are no text."""
        what, remedy = "its name is not UTF-8, and archives take nothing else", "Rename it here, in the drop."
        problems = [Problem(what, remedy, plain(path)) for path in paths[:MANY]]
        if len(paths) > MANY:
            problems.append(Problem(f"{len(paths) - MANY} more names are not UTF-8", remedy))
        with bundle.lock:
            if generation == bundle.generation and bundle.journal.state == State.SEALED:
                bundle.transition(Event.REFUSED, problems=tuple(problems), outage=False)

    def _judged(
        self,
        bundle: SpoolBundle,
        problems: Sequence[Problem],
        outage: bool,
        known: Sequence[LeftOut],
        earlier: Iterable[Journal],
    ) -> None:
        """Note the verdict; the bundle's lock is held."""
        if problems:
            if outage:
                self._outages.later(bundle.journal.id, self._lane.clock.monotonic())
            bundle.transition(Event.REFUSED, problems=tuple(problems), outage=outage)
        elif known and not any(entry.role == "data" for entry in bundle.journal.files):
            bundle.transition(Event.KNOWN, problems=(), outage=False, **_done(earlier))
        else:
            self._outages.soon(bundle.journal.id)
            bundle.note(problems=(), outage=False)
            bundle.passed = True

    def _problems(self, bundle: SpoolBundle, reading: Reading) -> tuple[tuple[Problem, ...], bool]:
        """What keeps it from being sent, and whether that is only an outage."""
        lane = self._lane
        if wrong := lane.problems(bundle, reading):
            return wrong, False
        try:
            value = lane.bundle(bundle)
            problems = tuple(lane.inbox.check(value))
            if not problems:
                problems = self._too_large(lane.inbox.length(value))
            return problems, False
        except PacificaFSError as error:
            return (Problem(f"{lane.settings.name} could not be asked: {error}", "It is tried again by itself."),), True

    def _too_large(self, length: int) -> tuple[Problem, ...]:
        lane = self._lane
        name, most, refused = lane.settings.name, lane.settings.max_bundle, lane.refusals.of(lane.settings.name)
        if most is not None and length > most:
            what = f"the upload would be {length} bytes, {name} takes {int(most)} at once"
            return (Problem(what, "Put the files into several folders."),)
        if refused is not None and length >= refused:
            what = f"the upload would be {length} bytes, and {name} refused one of {refused} as too large"
            remedy = "Put the files into several folders; if the site takes more now, `pacifica-fs retry`."
            return (Problem(what, remedy),)
        return ()


def _weight(bundle: SpoolBundle) -> int:
    return sum(state.st_size for _, state in look(bundle).files) if os.path.isdir(bundle.files) else 0


def _overlap(files: Iterable[Entry], before: Iterable[Journal]) -> str:
    """The id of an earlier bundle that has one of these files and may or may not be in the archive; "" if none has."""
    mine = {(entry.path, entry.digest) for entry in files if entry.role == "data"}
    for journal in before:
        undecided = journal.state in UNDER_WAY or (journal.ended_before and journal.state not in DECIDED)
        if undecided and any(entry.role == "data" and (entry.path, entry.digest) in mine for entry in journal.files):
            return journal.id
    return ""


def _done(earlier: Iterable[Journal]) -> dict[str, str]:
    newest = max(earlier, key=lambda one: (seconds(one.created), one.id))
    return {"transaction": newest.transaction, "place": newest.place}
