"""The whole table, written out once more."""

import pytest

from pacifica_fs.drop.states import REVISABLE, Event, State, moves, step

EXPECTED = """
open        COMPLETE     sealed
open        UNCLOSED     held
sealed      CHANGED      open
sealed      PICKED       checking
sealed      UNCLOSED     held
sealed      REFUSED      held
checking    CHANGED      open
checking    REFUSED      held
checking    PASSED       sending
checking    FOUND        ingesting
checking    KNOWN        done
checking    INTERRUPTED  sealed
sending     BROKEN       sealed
sending     INTERRUPTED  sealed
sending     REFUSED      held
sending     LOST         unconfirmed
sending     RECEIVED     ingesting
ingesting   INGESTED     done
ingesting   REJECTED     failed
ingesting   DIFFERS      failed
ingesting   LOST         unconfirmed
unconfirmed FOUND        ingesting
unconfirmed UNFOUND      held
held        CHANGED      open
held        RETRY        sealed
failed      CHANGED      open
failed      RETRY        sealed
failed      FOUND        ingesting
done        AGAIN        sealed
"""
TABLE = {(State(a), Event[b]): State(c) for a, b, c in (line.split() for line in EXPECTED.split("\n") if line)}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_every_pair(state, event):
    assert step(state, event) == TABLE.get((state, event), state)
    assert moves(state, event) == ((state, event) in TABLE)


def test_only_a_users_word_leaves_done_and_every_state_can_be_reached_and_left():
    assert [event for event in Event if moves(State.DONE, event)] == [Event.AGAIN]
    reached = {State.OPEN}
    while more := {step(s, e) for s in reached for e in Event} - reached:
        reached |= more
    assert reached == set(State)
    assert all(any(moves(state, event) for event in Event) for state in set(State) - {State.DONE})


def test_an_unconfirmed_upload_is_never_sent_again_without_a_user():
    """Promise 2: without RETRY (a user's word) no way leads from `unconfirmed` to `sending`."""
    allowed = set(Event) - {Event.RETRY, Event.CHANGED, Event.AGAIN}
    reached = {State.UNCONFIRMED}
    while more := {step(s, e) for s in reached for e in allowed} - reached:
        reached |= more
    assert State.SENDING not in reached


def test_what_is_being_sent_cannot_be_changed():
    assert {State.SENDING, State.INGESTING, State.UNCONFIRMED, State.DONE}.isdisjoint(REVISABLE)
    for state in set(State) - REVISABLE:
        assert step(state, Event.CHANGED) == state
