"""The worker that sends, one bundle at a time to one archive, the smallest first.

The journal says durably that the end goes out before it does. So after any stop, an upload without that note is sent
again, and one with it never is: the tracker asks the archive for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from ..errors import (
    BadAnswer,
    Denied,
    Invalid,
    PacificaFSError,
    Stale,
    TooBusy,
    TooLarge,
    Unreachable,
    WaitTimeout,
)
from ..model import Problem
from .bundle import SpoolBundle
from .journal import seconds, stamp
from .lane import Lane
from .limits import Pace
from .seal import Interrupted
from .states import Event, State
from .tracker import Tracker
from .worker import Pauses

log = logging.getLogger(__name__)

TRANSIENT = (Unreachable, WaitTimeout, TooBusy, BadAnswer, Stale, OSError)
REFUSALS = (Denied, Invalid)
"""What a server says that took nothing, also after the end of the upload."""
OVERTAKEN = 1800.0
"""Seconds for which a large bundle lets smaller ones go first."""


class Courier:
    """One bundle at a time to one archive."""

    def __init__(self, lane: Lane, tracker: Tracker, sent: Callable[[], None]) -> None:
        """`sent` is called when there is something new for the tracker, or for the checker."""
        self._lane, self._tracker, self._done = lane, tracker, sent
        self._sends = Pauses(1.0, 600.0, 2.0)

    def step(self) -> float | None:
        """Send one bundle, if it is somebody's turn; when to look again."""
        lane = self._lane
        for bundle in lane.bundles(State.SENDING):
            # Nobody is sending it: noting how that ended failed (a full disk).
            resumed(bundle, lane.clock.now())
            self._done()
        waiting = [bundle for bundle in lane.bundles(State.CHECKING) if bundle.passed]
        if lane.stopping.is_set() or self._tracker.occupied() or not waiting:
            return None
        bundle = turn(waiting, lane.clock.now())
        bundle.busy = True
        try:
            bundle.passed = False
            self._send(bundle)
        finally:
            bundle.busy = False
            self._done()
        return 0.0

    def _send(self, bundle: SpoolBundle) -> None:
        lane = self._lane
        generation = bundle.generation
        value = lane.bundle(bundle)
        if bundle.journal.ended_before:
            # The user chose to send again what may have arrived: the archive has the last word.
            try:
                ids = self._tracker.find(bundle)
            except PacificaFSError as error:
                self._not_asked(bundle, error)
                return
            if ids:
                self._tracker.found(bundle, ids)
                return
        try:
            length = max(1, lane.inbox.length(value))
        except PacificaFSError as error:
            self._not_asked(bundle, error)
            return
        with bundle.lock:
            if bundle.journal.state != State.CHECKING or bundle.generation != generation or lane.stopping.is_set():
                return
            bundle.transition(Event.PASSED, attempts=bundle.journal.attempts + 1, problems=(), ticket=None)
        pace = Pace(lane.drop.bandwidth, lane.clock, lane.stopping.wait)

        def sent(count: int) -> None:
            if lane.stopping.is_set():
                raise Interrupted
            bundle.sent, bundle.percent = count, min(100.0, 100.0 * count / length)
            pace.passed(count)

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
            self._not_sent(bundle, error, length)
        else:
            self._sends.soon(bundle.journal.id)
            bundle.transition(
                Event.RECEIVED, ticket=ticket, end_sent=bundle.journal.end_sent or stamp(lane.clock.now())
            )

    def _not_asked(self, bundle: SpoolBundle, error: PacificaFSError) -> None:
        name = self._lane.settings.name
        problem = Problem(f"{name} could not be asked: {error}", "It is tried again by itself.")
        self._later(bundle)
        with bundle.lock:
            bundle.transition(Event.REFUSED, problems=(problem,), outage=True)

    def _not_sent(self, bundle: SpoolBundle, error: Exception, length: int) -> None:
        now = stamp(self._lane.clock.now())
        if isinstance(error, TooLarge):
            self._lane.refusals.refused(self._lane.settings.name, length)
            problem = Problem(f"{self._lane.settings.name} refuses it: {error}", "Put the files into several folders.")
            bundle.transition(Event.REFUSED, problems=(problem,), outage=False, end_sent="", ended_before=False)
        elif bundle.journal.end_sent and not isinstance(error, REFUSALS):
            problem = Problem(
                f"the connection broke after everything was sent ({error})", "The archive is asked whether it has it."
            )
            bundle.transition(Event.LOST, problems=(problem,), unconfirmed_since=now)
        elif isinstance(error, TRANSIENT) or not isinstance(error, PacificaFSError):
            self._later(bundle)
            problem = Problem(f"the upload broke: {error}", "Nothing was ingested; it is sent again by itself.")
            bundle.transition(Event.BROKEN, problems=(problem,))
        else:
            problem = Problem(f"{self._lane.settings.name} refuses the upload: {error}", "See to it, then retry.")
            bundle.transition(Event.REFUSED, problems=(problem,), outage=False, end_sent="", ended_before=False)
        bundle.sent, bundle.percent = 0, 0.0

    def _later(self, bundle: SpoolBundle) -> None:
        """Not before a pause, which grows; it stays short where a try costs nothing because no byte goes out."""
        now = self._lane.clock.monotonic()
        self._sends.later(bundle.journal.id, now)
        bundle.retry_at = min(self._sends.due(bundle.journal.id), now + (600.0 if bundle.sent else 60.0))


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


def turn(waiting: Sequence[SpoolBundle], now: float) -> SpoolBundle:
    """Whose turn it is: the smallest's, but what was overtaken for long goes first, in the order of arrival."""
    late = [one for one in waiting if now - seconds(one.journal.times.get(State.CHECKING, "")) >= OVERTAKEN]
    if late:
        return min(late, key=lambda one: one.journal.id)
    return min(waiting, key=lambda one: (one.journal.size, one.journal.id))


def again(bundle: SpoolBundle, everything: bool = False) -> bool:
    """What `retry` does to a bundle; False if it only has to be looked at again.

    `everything`: files that the archive has already are sent, too.
    """
    with bundle.lock:
        journal = bundle.journal
        if everything and journal.unsent and not journal.cleared:
            bundle.retry_at = 0.0
            bundle.transition(Event.AGAIN, again=True, transaction="", left_out=(), end_sent="")
            return True
        if everything and journal.revisable:
            bundle.note(again=True)
        if journal.state == State.FAILED and journal.transaction:
            # It was ingested, if differently: sending it again would make a second one.
            bundle.transition(Event.FOUND)
            return False
        if journal.state in (State.HELD, State.FAILED):
            bundle.retry_at = 0.0
            bundle.transition(Event.RETRY, end_sent="", outage=False, problems=())
            return True
        return False
