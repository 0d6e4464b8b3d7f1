"""The life of a bundle, as a table: a state and an event give the next state, and nothing else happens here.

    open → sealed → checking → sending → ingesting → done

with the side states `held` (somebody must add or decide something), `unconfirmed` (the end of the upload went out and
no answer came: the server is asked, the bundle is never sent again by itself) and `failed` (the server said so).
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a bundle is; these words are shown to users."""

    OPEN = "open"
    SEALED = "sealed"
    CHECKING = "checking"
    SENDING = "sending"
    INGESTING = "ingesting"
    DONE = "done"
    HELD = "held"
    UNCONFIRMED = "unconfirmed"
    FAILED = "failed"


class Event(StrEnum):
    """What can happen to a bundle."""

    CHANGED = "a file is written, renamed or removed"
    COMPLETE = "the bundle is complete"
    UNCLOSED = "a file was being written when the mount stopped"
    PICKED = "every digest is known, the check begins"
    REFUSED = "the check found problems, or could not be made"
    PASSED = "the check passed and the upload begins"
    BROKEN = "the upload broke before its end was sent"
    LOST = "the upload's end was sent and no answer came, or the server forgot the job"
    RECEIVED = "the server received the upload whole"
    FOUND = "the archive has it"
    UNFOUND = "the archive was asked for long and has it not"
    REJECTED = "the server's job failed"
    DIFFERS = "the archive lists something else than was sent"
    INGESTED = "the archive lists exactly what was sent"
    RETRY = "try again, from the check on"
    KNOWN = "every file of it is in the archive already"
    AGAIN = "its user wants to have it sent although the archive has all of it"
    INTERRUPTED = "the daemon stopped before anything was decided"


_S, _E = State, Event
_TABLE: dict[State, dict[Event, State]] = {
    _S.OPEN: {_E.COMPLETE: _S.SEALED, _E.UNCLOSED: _S.HELD},
    _S.SEALED: {_E.CHANGED: _S.OPEN, _E.PICKED: _S.CHECKING, _E.UNCLOSED: _S.HELD, _E.REFUSED: _S.HELD},
    _S.CHECKING: {
        _E.CHANGED: _S.OPEN,
        _E.REFUSED: _S.HELD,
        _E.PASSED: _S.SENDING,
        _E.FOUND: _S.INGESTING,
        _E.KNOWN: _S.DONE,
        _E.INTERRUPTED: _S.SEALED,
    },
    _S.SENDING: {
        _E.BROKEN: _S.SEALED,
        _E.INTERRUPTED: _S.SEALED,
        _E.REFUSED: _S.HELD,
        _E.LOST: _S.UNCONFIRMED,
        _E.RECEIVED: _S.INGESTING,
    },
    _S.INGESTING: {
        _E.INGESTED: _S.DONE,
        _E.REJECTED: _S.FAILED,
        _E.DIFFERS: _S.FAILED,
        _E.LOST: _S.UNCONFIRMED,
    },
    _S.UNCONFIRMED: {_E.FOUND: _S.INGESTING, _E.UNFOUND: _S.HELD},
    _S.HELD: {_E.CHANGED: _S.OPEN, _E.RETRY: _S.SEALED},
    _S.FAILED: {_E.CHANGED: _S.OPEN, _E.RETRY: _S.SEALED, _E.FOUND: _S.INGESTING},
    _S.DONE: {_E.AGAIN: _S.SEALED},
}

# What the user's tree on disk decides; from `sending` on the journal does.
REVISABLE = frozenset({State.OPEN, State.SEALED, State.CHECKING, State.HELD, State.FAILED})


def step(state: State, event: Event) -> State:
    """The state after `event`; an event that means nothing in `state` leaves it as it is."""
    return _TABLE[state].get(event, state)


def moves(state: State, event: Event) -> bool:
    """True if `event` takes `state` somewhere else."""
    return event in _TABLE[state]
