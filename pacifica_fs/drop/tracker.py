"""The worker that follows what was sent until the archive has it, and asks the archive where nobody knows.

What was sent whole is never sent again by itself: it is looked for until it is found, or until `confirm_after`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from ..errors import NotFound, PacificaFSError
from ..model import FileRef, Problem
from .bundle import SpoolBundle
from .compare import matched
from .journal import Entry, Journal, seconds, stamp
from .lane import Lane
from .receipt import receipt
from .states import Event, State
from .worker import Pauses

log = logging.getLogger(__name__)

STUCK = 1800.0
"""Seconds without any change after which a job is said to be stuck, and stops keeping others back."""
LATE = 600.0
"""Seconds for which an archive may not know yet what its own job made."""
AUDIT = 300.0
"""Seconds after which a done bundle is looked for once more: what repeats a request may have made it twice."""
GIVE_UP = 86400.0
"""Seconds after which it is not."""
KEEP_UNSENT = 86400.0
"""Seconds for which the files of a bundle stay that was not sent because the archive had them all: `retry --again`."""


class Tracker:
    """Everything of one archive that was sent. `moved` is called when another bundle may have its turn."""

    def __init__(
        self,
        lane: Lane,
        adopt: Callable[[FileRef, Path], bool],
        freed: Callable[[int], None],
        ingested: Callable[[str], None],
        moved: Callable[[], None],
    ) -> None:
        self._lane, self._adopt, self._freed = lane, adopt, freed
        self._ingested, self._said = ingested, moved
        self._polls = Pauses(0.04, 10.0, 1.1)
        self._finds = Pauses(0.5, 600.0, 1.6)
        self._audits = Pauses(60.0, 3600.0, 2.0)
        self._moved: dict[str, tuple[float, str, float]] = {}
        self._pairs: dict[str, list[tuple[Entry, FileRef]]] = {}

    def step(self) -> float | None:
        """Do what is due; when to look again."""
        lane = self._lane
        now = lane.clock.now()
        due: list[float] = []
        for bundle in lane.bundles(State.DONE):
            if not bundle.journal.cleared:
                late = kept_until(bundle.journal)
                if late <= now:
                    self._clear(bundle)
                else:
                    due.append(lane.clock.monotonic() + late - now)
            elif not bundle.journal.audited and bundle.journal.receipt:
                due += self._audit(bundle)
        for state, pauses, act in (
            (State.INGESTING, self._polls, self._follow),
            (State.UNCONFIRMED, self._finds, self._search),
        ):
            for bundle in lane.bundles(state):
                if lane.stopping.is_set():
                    return None
                if pauses.due(bundle.journal.id) <= lane.clock.monotonic():
                    state_before = bundle.journal.state
                    act(bundle)
                    if bundle.journal.state != state_before:
                        self._said()
                due.append(pauses.due(bundle.journal.id))
        return max(0.0, min(due) - lane.clock.monotonic()) if due else None

    def look_again(self, id: str) -> None:
        """The user wants to know: do not wait out the pause."""
        self._finds.soon(id)
        self._polls.soon(id)

    def occupied(self) -> bool:
        """True while the archive works on a bundle, unless its job is stuck."""
        now = self._lane.clock.monotonic()
        return any(
            not bundle.journal.transaction and now - self._moved.get(bundle.journal.id, (now, "", 0.0))[0] < STUCK
            for bundle in self._lane.bundles(State.INGESTING)
        )

    def _follow(self, bundle: SpoolBundle) -> None:
        journal, lane = bundle.journal, self._lane
        self._moved.setdefault(journal.id, (lane.clock.monotonic(), "", 0.0))
        self._polls.later(journal.id, lane.clock.monotonic())
        if journal.transaction:
            self._compare(bundle)
            return
        if journal.ticket is None:
            bundle.transition(Event.LOST, unconfirmed_since=stamp(lane.clock.now()))
            return
        try:
            progress = lane.inbox.poll(journal.ticket)
        except NotFound as error:
            problem = Problem(f"the server does not know its job any more: {error}", "The archive is asked for it.")
            bundle.transition(Event.LOST, problems=(problem,), unconfirmed_since=stamp(lane.clock.now()))
            return
        except PacificaFSError as error:
            bundle.waiting_for = f"an answer of {lane.settings.name}: {error}"
            self._declare(bundle)
            return
        bundle.task, bundle.percent, bundle.waiting_for = progress.task, progress.percent, ""
        details = {**journal.ticket.details, **progress.details}
        if progress.details and details != journal.ticket.details:
            bundle.note(ticket=msgspec.structs.replace(journal.ticket, details=details))
        if self._moved[journal.id][1:] != (progress.task, progress.percent):
            self._moved[journal.id] = lane.clock.monotonic(), progress.task, progress.percent
            self._polls.soon(journal.id)
            self._polls.later(journal.id, lane.clock.monotonic())
            if journal.problems and not progress.outcome:
                bundle.note(problems=())  # it was said to be stuck, and is not
        if progress.outcome == "failed":
            message = progress.message or "without a reason"
            problem = Problem(
                f"the server says that the ingest failed ({progress.task}): {message}",
                "Correct what it says and save the file, or `pacifica-fs retry`.",
            )
            self._moved.pop(journal.id, None)
            bundle.transition(Event.REJECTED, problems=(problem,), end_sent="")
        elif progress.outcome == "done" and progress.container:
            place = self._lane.place(progress.container)
            bundle.note(transaction=progress.container, place=place, problems=())
            self._said()
            self._compare(bundle)
        elif progress.outcome == "done":
            bundle.transition(Event.LOST, unconfirmed_since=stamp(lane.clock.now()))
        else:
            self._declare(bundle)

    def _declare(self, bundle: SpoolBundle) -> None:
        """Say once that a job is stuck."""
        since, task, _ = self._moved[bundle.journal.id]
        if self._lane.clock.monotonic() - since >= STUCK and not bundle.journal.problems:
            job = bundle.journal.ticket.job if bundle.journal.ticket else "?"
            what = f"job {job} has not moved for {STUCK / 60:.0f} minutes (task: {task or 'none yet'})"
            bundle.note(problems=(Problem(what, "Ask the site's operators; it is watched on."),))

    def _compare(self, bundle: SpoolBundle) -> None:
        journal, lane = bundle.journal, self._lane
        bundle.task = "comparing"
        try:
            listed = lane.listed(bundle)
        except NotFound:
            if lane.clock.now() - seconds(journal.updated) < LATE:
                return
            listed = []
        except PacificaFSError as error:
            bundle.waiting_for = f"{lane.settings.name}, to compare what it lists: {error}"
            return
        pairs, problems = matched(journal.files, listed)
        self._moved.pop(journal.id, None)
        bundle.waiting_for = ""
        if problems:
            self._differs(bundle, problems)
            return
        twice = _twice(journal.duplicates)
        self._pairs[journal.id] = pairs
        # Before anybody can see `done`, so that whoever waited for it finds the container in the next listing.
        self._ingested(journal.archive)
        now = lane.clock.now()
        bundle.transition(Event.INGESTED, problems=twice, receipt=receipt(journal, pairs, now, lane.archive.identity))
        bundle.task = ""
        self._clear(bundle)

    def _differs(self, bundle: SpoolBundle, problems: Sequence[Problem]) -> None:
        """Its job made something else than was sent. A server may give one job's number to two uploads, so the archive
        is asked which transaction is this bundle's, if any.
        """
        journal = bundle.journal
        try:
            ids = self.find(bundle)
        except PacificaFSError as error:
            bundle.waiting_for = f"{self._lane.settings.name}, to ask which transaction is this upload's: {error}"
            return
        self._moved.pop(journal.id, None)
        if journal.transaction in ids or journal.ticket is None:
            what = Problem(
                f"transaction {journal.transaction} is not what was sent",
                "The files are kept in the spool. Tell the site's operators.",
            )
            bundle.transition(Event.DIFFERS, problems=(what, *problems))
            return
        what = Problem(
            f"job {journal.ticket.job} ended as transaction {journal.transaction}, which has other content",
            "The archive is asked for what was sent; it is not sent again by itself.",
        )
        self._finds.soon(journal.id)
        now = stamp(self._lane.clock.now())
        bundle.transition(Event.LOST, problems=(what, *problems), transaction="", ticket=None, unconfirmed_since=now)
        if ids:
            self.found(bundle, ids)

    def _clear(self, bundle: SpoolBundle) -> None:
        """The archive has it: the bytes go to the content store, and what that does not want goes away."""
        pairs = self._pairs.pop(bundle.journal.id, None)
        if pairs is None:
            try:
                pairs, _ = matched(bundle.journal.files, self._lane.listed(bundle))
            except PacificaFSError:
                pairs = []
        for entry, ref in pairs:
            path = Path(bundle.real(entry.path))
            if path.exists() and not _shared(path):
                try:
                    bundle.disk.adopt(self._adopt, ref, path)
                except (PacificaFSError, OSError) as error:
                    log.warning("%s was not taken over by the cache: %s", path, error)
        self._remove(bundle)
        bundle.digests.clear()
        bundle.note(cleared=True)

    def _remove(self, bundle: SpoolBundle) -> None:
        """Take away what the archive has; what its rules left out stays in the spool until it is discarded."""
        left = {entry.path for entry in bundle.journal.files if entry.role == "left"}
        gone = [entry for entry in bundle.journal.files if entry.path not in left]
        if not left:
            bundle.disk.remove_tree(bundle.files)
        for entry in gone if left else ():
            try:
                bundle.disk.unlink(bundle.real(entry.path))
            except FileNotFoundError:
                continue
        self._freed(sum(entry.size for entry in gone))

    def _search(self, bundle: SpoolBundle) -> None:
        lane = self._lane
        self._finds.later(bundle.journal.id, lane.clock.monotonic())
        try:
            ids = self.find(bundle)
        except PacificaFSError as error:
            bundle.waiting_for = f"{lane.settings.name}, to ask whether it has this: {error}"
            return
        waited = lane.clock.now() - seconds(bundle.journal.unconfirmed_since)
        if ids:
            self.found(bundle, ids)
        elif waited >= lane.drop.confirm_after:
            problem = Problem(
                f"everything was sent, no answer came, and {lane.settings.name} does not have it after "
                f"{waited / 3600:.1f} hours",
                "Ask the site's operators. `pacifica-fs retry` sends it again.",
            )
            bundle.transition(Event.UNFOUND, problems=(problem,), outage=False)

    def _audit(self, bundle: SpoolBundle) -> list[float]:
        """Ask once, some minutes after it was done, whether the archive has it twice; when to look again, if at all."""
        lane, journal = self._lane, bundle.journal
        age = lane.clock.now() - seconds(journal.times.get(State.DONE, ""))
        at = max(self._audits.due(journal.id), lane.clock.monotonic() + AUDIT - age)
        if age > GIVE_UP or at > lane.clock.monotonic():
            return [at] if age <= GIVE_UP else []
        try:
            others = tuple(id for id in self.find(bundle) if id != journal.transaction)
        except PacificaFSError as error:
            log.info("%s: whether %s has it twice could not be asked: %s", journal.name, journal.archive, error)
            self._audits.later(journal.id, lane.clock.monotonic())
            return [self._audits.due(journal.id)]
        self._audits.soon(journal.id)
        if set(others) - set(journal.duplicates):
            log.error(
                "%s is in %s twice: transactions %s", journal.name, journal.archive, (journal.transaction, *others)
            )
        bundle.note(audited=True, duplicates=others, problems=_twice(others))
        return []

    def find(self, bundle: SpoolBundle) -> list[str]:
        """The archive's containers of this bundle. Where it is recognised by its content only, those that are known to
        be another bundle's are not.
        """
        lane = self._lane
        theirs = {one.journal.transaction for one in lane.spool.bundles.values() if one is not bundle}
        return [id for id in lane.inbox.find(lane.bundle(bundle)) if id not in theirs]

    def found(self, bundle: SpoolBundle, ids: Sequence[str]) -> None:
        """The archive has it, under these ids."""
        first, *others = sorted(ids, key=lambda id: (len(id), id))
        self._polls.soon(bundle.journal.id)
        ended = bundle.journal.end_sent or stamp(self._lane.clock.now())
        with bundle.lock:
            bundle.transition(
                Event.FOUND,
                transaction=first,
                place=self._lane.place(first),
                duplicates=tuple(others),
                problems=(),
                outage=False,
                end_sent=ended,
            )


def _twice(others: Sequence[str]) -> tuple[Problem, ...]:
    return tuple(
        Problem(f"the archive has this twice: also as transaction {other}", "Tell the site's operators.")
        for other in others
    )


def kept_until(journal: Journal) -> float:
    """Seconds since the epoch until which the files of a done bundle stay in the spool."""
    return seconds(journal.times.get(State.DONE, "")) + KEEP_UNSENT if journal.unsent else 0.0


def _shared(path: Path) -> bool:
    """True for a file that was linked in (`pacifica-fs drop`): somebody else may still write it."""
    return path.stat().st_nlink > 1
