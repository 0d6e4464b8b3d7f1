"""The worker that sends, follows the server's job, compares, and asks the archive where nobody knows.

The journal says durably that the end goes out before it does. So after any stop, an upload without that note is sent
again, and one with it never is: the archive is asked for it until it is found, or until `confirm_after`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import BadAnswer, Denied, Invalid, NotFound, PacificaFSError, Stale, TooBusy, Unreachable, WaitTimeout
from ..model import FileRef, Problem
from .bundle import SpoolBundle
from .compare import matched
from .journal import Entry, seconds, stamp
from .lane import Lane
from .seal import Interrupted
from .states import Event, State
from .worker import Pauses

log = logging.getLogger(__name__)

TRANSIENT = (Unreachable, WaitTimeout, TooBusy, BadAnswer, Stale, OSError)
REFUSALS = (Denied, Invalid)
"""What a server says that took nothing, also after the end of the upload."""
STUCK = 1800.0
"""Seconds without any change after which a job is said to be stuck, and stops keeping others back."""
LATE = 600.0
"""Seconds for which an archive may not know yet what its own job made."""


class Courier:
    """One bundle at a time to one archive."""

    def __init__(
        self,
        lane: Lane,
        adopt: Callable[[FileRef, Path], bool],
        freed: Callable[[int], None],
        ingested: Callable[[str], None],
    ) -> None:
        self._lane, self._adopt, self._freed, self._ingested = lane, adopt, freed, ingested
        self._polls = Pauses(0.05, 10.0, 1.25)
        self._finds = Pauses(2.0, 600.0, 1.6)
        self._sends = Pauses(5.0, 600.0, 2.0)
        self._moved: dict[str, tuple[float, str, float]] = {}
        self._pairs: dict[str, list[tuple[Entry, FileRef]]] = {}

    def step(self) -> float | None:
        """Do what is due; when to look again."""
        lane = self._lane
        for bundle in lane.bundles(State.SENDING):
            # Nobody is sending it: noting how that ended failed (a full disk).
            resumed(bundle, lane.clock.now())
        for bundle in lane.bundles(State.DONE):
            if not bundle.journal.cleared:
                self._clear(bundle)
        due: list[float] = []
        for state, pauses, act in (
            (State.INGESTING, self._polls, self._follow),
            (State.UNCONFIRMED, self._finds, self._search),
        ):
            for bundle in lane.bundles(state):
                if lane.stopping.is_set():
                    return None
                if pauses.due(bundle.journal.id) <= lane.clock.monotonic():
                    act(bundle)
                due.append(pauses.due(bundle.journal.id))
        if not any(bundle.journal.id not in self._stuck() for bundle in lane.bundles(State.INGESTING)):
            for bundle in lane.bundles(State.CHECKING):
                if bundle.passed and not lane.stopping.is_set():
                    bundle.busy = True
                    try:
                        bundle.passed = False
                        self._send(bundle)
                    finally:
                        bundle.busy = False
                    return 0.0
        return max(0.0, min(due) - lane.clock.monotonic()) if due else None

    def look_again(self, id: str) -> None:
        """The user wants to know: do not wait out the pause."""
        self._finds.soon(id)
        self._polls.soon(id)

    # Sending.

    def _send(self, bundle: SpoolBundle) -> None:
        lane = self._lane
        generation = bundle.generation
        value = lane.bundle(bundle)
        if bundle.journal.ended_before:
            # The user chose to send again what may have arrived: the archive has the last word.
            try:
                ids = lane.inbox.find(value)
            except PacificaFSError as error:
                problem = Problem(f"{lane.settings.name} could not be asked: {error}", "It is tried again by itself.")
                with bundle.lock:
                    bundle.transition(Event.REFUSED, problems=(problem,), outage=True)
                return
            if ids:
                self._found(bundle, ids)
                return
        length = max(1, lane.inbox.length(value))
        with bundle.lock:
            if bundle.journal.state != State.CHECKING or bundle.generation != generation or lane.stopping.is_set():
                return
            bundle.transition(Event.PASSED, attempts=bundle.journal.attempts + 1, problems=(), ticket=None)

        def sent(count: int) -> None:
            if lane.stopping.is_set():
                raise Interrupted
            bundle.sent, bundle.percent = count, min(100.0, 100.0 * count / length)

        def last() -> None:
            if lane.stopping.is_set():
                raise Interrupted
            bundle.note(end_sent=stamp(lane.clock.now()), ended_before=True)

        try:
            ticket = bundle.disk.send(lane.inbox, value, sent, last)
        except Interrupted:
            return
        except Exception as error:
            if lane.stopping.is_set():
                return
            if not isinstance(error, PacificaFSError | OSError):
                log.exception("%s: sending", bundle.journal.name)
            self._not_sent(bundle, error)
        else:
            self._sends.soon(bundle.journal.id)
            self._moved[bundle.journal.id] = lane.clock.monotonic(), "", 0.0
            bundle.transition(
                Event.RECEIVED, ticket=ticket, end_sent=bundle.journal.end_sent or stamp(lane.clock.now())
            )

    def _not_sent(self, bundle: SpoolBundle, error: Exception) -> None:
        now = self._lane.clock
        if bundle.journal.end_sent and not isinstance(error, REFUSALS):
            problem = Problem(
                f"the connection broke after everything was sent ({error})", "The archive is asked whether it has it."
            )
            bundle.transition(Event.LOST, problems=(problem,), unconfirmed_since=stamp(now.now()))
        elif isinstance(error, TRANSIENT) or not isinstance(error, PacificaFSError):
            self._sends.later(bundle.journal.id, now.monotonic())
            bundle.retry_at = self._sends.due(bundle.journal.id)
            problem = Problem(f"the upload broke: {error}", "Nothing was ingested; it is sent again by itself.")
            bundle.transition(Event.BROKEN, problems=(problem,))
        else:
            problem = Problem(f"{self._lane.settings.name} refuses the upload: {error}", "See to it, then retry.")
            bundle.transition(Event.REFUSED, problems=(problem,), outage=False, end_sent="", ended_before=False)
        bundle.sent, bundle.percent = 0, 0.0

    # Following.

    def _stuck(self) -> set[str]:
        now = self._lane.clock.monotonic()
        return {id for id, (since, _, _) in self._moved.items() if now - since >= STUCK}

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
        if self._moved[journal.id][1:] != (progress.task, progress.percent):
            self._moved[journal.id] = lane.clock.monotonic(), progress.task, progress.percent
            self._polls.soon(journal.id)
            self._polls.later(journal.id, lane.clock.monotonic())
        if progress.outcome == "failed":
            message = progress.message or "without a reason"
            problem = Problem(
                f"the server says that the ingest failed ({progress.task}): {message}",
                "Correct what it says and save the file, or `pacifica-fs retry`.",
            )
            self._moved.pop(journal.id, None)
            bundle.transition(Event.REJECTED, problems=(problem,), end_sent="")
        elif progress.outcome == "done" and progress.container:
            bundle.note(transaction=progress.container, problems=())
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

    # Comparing, and giving the bytes away.

    def _compare(self, bundle: SpoolBundle) -> None:
        journal, lane = bundle.journal, self._lane
        bundle.task = "comparing"
        try:
            listed = lane.archive.files(journal.transaction)
        except NotFound:
            if lane.clock.now() - seconds(journal.updated) < LATE:
                return
            listed = ()
        except PacificaFSError as error:
            bundle.waiting_for = f"{lane.settings.name}, to compare what it lists: {error}"
            return
        pairs, problems = matched(journal.files, listed)
        self._moved.pop(journal.id, None)
        bundle.waiting_for = ""
        if problems:
            what = Problem(
                f"transaction {journal.transaction} is not what was sent",
                "The files are kept in the spool. Tell the site's operators.",
            )
            bundle.transition(Event.DIFFERS, problems=(what, *problems))
            return
        now = stamp(lane.clock.now())
        twice = tuple(
            Problem(f"the archive has this twice: also as transaction {other}", "Tell the site's operators.")
            for other in journal.duplicates
        )
        receipt = {
            "archive": journal.archive,
            "transaction": journal.transaction,
            "bundle": journal.id,
            "name": journal.name,
            "compared": now,
            "files": [
                {"path": entry.path, "size": entry.size, "digest": entry.digest, "id": ref.id} for entry, ref in pairs
            ],
        }
        self._pairs[journal.id] = pairs
        # Before anybody can see `done`, so that whoever waited for it finds the container in the next listing.
        self._ingested(journal.archive)
        bundle.transition(Event.INGESTED, problems=twice, receipt=receipt)
        bundle.task = ""
        self._clear(bundle)

    def _clear(self, bundle: SpoolBundle) -> None:
        """The archive has it: the bytes go to the content store, and what that does not want goes away."""
        pairs = self._pairs.pop(bundle.journal.id, None)
        if pairs is None:
            try:
                pairs, _ = matched(bundle.journal.files, self._lane.archive.files(bundle.journal.transaction))
            except PacificaFSError:
                pairs = []
        for entry, ref in pairs:
            path = Path(bundle.real(entry.path))
            if path.exists():
                try:
                    bundle.disk.adopt(self._adopt, ref, path)
                except (PacificaFSError, OSError) as error:
                    log.warning("%s was not taken over by the cache: %s", path, error)
        bundle.disk.remove_tree(bundle.files)
        self._freed(sum(entry.size for entry in bundle.journal.files))
        bundle.digests.clear()
        bundle.note(cleared=True)

    # Asking.

    def _search(self, bundle: SpoolBundle) -> None:
        lane = self._lane
        self._finds.later(bundle.journal.id, lane.clock.monotonic())
        try:
            ids = lane.inbox.find(lane.bundle(bundle))
        except PacificaFSError as error:
            bundle.waiting_for = f"{lane.settings.name}, to ask whether it has this: {error}"
            return
        waited = lane.clock.now() - seconds(bundle.journal.unconfirmed_since)
        if ids:
            self._found(bundle, ids)
        elif waited >= lane.drop.confirm_after:
            problem = Problem(
                f"everything was sent, no answer came, and {lane.settings.name} does not have it after "
                f"{waited / 3600:.1f} hours",
                "Ask the site's operators. `pacifica-fs retry` sends it again.",
            )
            bundle.transition(Event.UNFOUND, problems=(problem,), outage=False)

    def _found(self, bundle: SpoolBundle, ids: Sequence[str]) -> None:
        first, *others = sorted(ids, key=lambda id: (len(id), id))
        self._polls.soon(bundle.journal.id)
        ended = bundle.journal.end_sent or stamp(self._lane.clock.now())
        with bundle.lock:
            bundle.transition(
                Event.FOUND, transaction=first, duplicates=tuple(others), problems=(), outage=False, end_sent=ended
            )


def resumed(bundle: SpoolBundle, now: float) -> None:
    """Put a bundle that a stop interrupted where its journal says that it can go on."""
    journal = bundle.journal
    if journal.state == State.CHECKING:
        bundle.transition(Event.INTERRUPTED)
    elif journal.state == State.SENDING and journal.end_sent:
        problem = Problem("the daemon stopped after everything was sent", "The archive is asked whether it has it.")
        bundle.transition(Event.LOST, problems=(problem,), unconfirmed_since=stamp(now))
    elif journal.state == State.SENDING:
        bundle.transition(Event.INTERRUPTED)


def again(bundle: SpoolBundle) -> bool:
    """What `retry` does to a bundle; False if it only has to be looked at again."""
    with bundle.lock:
        journal = bundle.journal
        if journal.state == State.FAILED and journal.transaction:
            # It was ingested, if differently: sending it again would make a second one.
            bundle.transition(Event.FOUND)
            return False
        if journal.state in (State.HELD, State.FAILED):
            bundle.retry_at = 0.0
            bundle.transition(Event.RETRY, end_sent="", outage=False, problems=())
            return True
        return False


__all__ = ["Courier", "again", "resumed"]
