"""The worker that decides when a bundle is complete, and judges a sidecar as soon as it is closed."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable

import msgspec

from ..errors import PacificaFSError
from ..model import Bundle, Problem
from .bundle import SpoolBundle
from .complete import COMMIT, Facts, Rules, decide, plain
from .lane import Lane
from .manifest import Manifests
from .seal import look, own_sidecars, sidecar
from .sidecar import Reading
from .states import Event, State
from .worker import Apart

log = logging.getLogger(__name__)

WHILE_OPEN = 1.0
REWRITE = "Write it again, or remove it."


class Clerk:
    """Decides when bundles are complete, and judges sidecars early."""

    def __init__(self, lane: Lane, sealed: Callable[[], None]) -> None:
        self._lane, self._sealed = lane, sealed
        drop = lane.drop
        self._manifests = Manifests(lane.choosy)
        self._rules = Rules(float(drop.quiet), float(drop.quiet_unmarked), lane.inbox.reversible)

    def step(self) -> float | None:
        """Look at every open bundle; when to look again."""
        due: float | None = None
        apart = Apart()
        for bundle in self._lane.bundles(State.OPEN):
            if self._lane.stopping.is_set():
                return None
            at = None
            with apart.one(bundle):
                at = self._attend(bundle)
            if at is not None:
                due = at if due is None else min(due, at)
        apart.end()
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
                    bundle.retry_at, bundle.waiting_for = 0.0, ""
                    bundle.transition(Event.COMPLETE, sealed_by=decision.reason, committed=committed)
                    self._sealed()
                    bundle.forget_commit()  # only now: a word that could not be noted must still be there
            if nothing:
                self._lane.spool.discard(
                    bundle, unless=lambda: generation != bundle.generation or bool(bundle.handles) or not bundle.empty()
                )
        if bundle.journal.state == State.OPEN:
            bundle.waiting_for = decision.reason
        bundle.urgent = facts.committed or facts.listed
        if facts.opened:
            return facts.now + WHILE_OPEN
        bundle.scheduled = decision.at is not None
        return decision.at

    def _facts(self, bundle: SpoolBundle, committed: bool) -> Facts:
        reading = bundle.reading[1] if bundle.reading else Reading()
        listed = reading.metadata.files if reading.metadata else None
        missing = [path for path in listed or () if not os.path.isfile(bundle.real(path))]
        opened = sorted(file.path for file in list(bundle.handles.values()))
        by_manifest = None if opened else self._manifests.missing(bundle)
        return Facts(
            now=self._lane.clock.monotonic(),
            changed=bundle.changed,
            committed=committed,
            follows=bool(bundle.journal.follows),
            gap=bundle.gap,
            sidecar=self._sidecar_at(bundle),
            last_data=bundle.data_at,
            listed=listed is not None or by_manifest is not None,
            missing=[*missing, *(by_manifest or ())],
            opened=opened,
        )

    def _sidecar_at(self, bundle: SpoolBundle) -> float | None:
        """When the last sidecar came; one of a single file comes with the data that it is about."""
        if bundle.reading and bundle.reading[0]:
            return bundle.sidecar_at
        return bundle.data_at if own_sidecars(bundle, self._lane.words) else None

    def _judge(self, bundle: SpoolBundle) -> None:
        """The verdict on a sidecar while its data may still be copied."""
        bundle.unread = False
        taken, reading = sidecar(bundle, self._lane.words)
        bundle.reading = taken, reading
        journal = bundle.journal
        if not taken and not journal.sidecar and not journal.problems:
            return
        metadata = self._lane.metadata(bundle, reading)
        problems = self._lane.problems(bundle, reading)
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


def hold_unclosed(bundle: SpoolBundle, paths: Iterable[str]) -> None:
    """Hold a bundle for the files that a crash cut off; its lock is held."""
    problems = tuple(Problem("was being written when the mount stopped", REWRITE, plain(path)) for path in paths)
    bundle.transition(Event.UNCLOSED, problems=problems, files=())
