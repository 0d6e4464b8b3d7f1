import itertools

import pytest

from pacifica_fs.archives.pacifica.carts import Cart, Event, Limits, Phase, pause, step

FORWARD = {
    (Phase.POST, Event.ACCEPTED): Phase.STAGE,
    (Phase.STAGE, Event.READY): Phase.FETCH,
    (Phase.FETCH, Event.STAGING): Phase.STAGE,
    (Phase.FETCH, Event.READ): Phase.DONE,
}
LOST = {Event.ERROR, Event.GONE, Event.STUCK}


@pytest.mark.parametrize("phase,event", list(itertools.product(Phase, Event)))
def test_every_event_in_every_phase(phase, event):
    before = Cart(phase)
    after = step(before, event, "why")
    if (phase, event) in FORWARD:
        assert after == Cart(FORWARD[phase, event])
    elif event in LOST and phase in (Phase.STAGE, Phase.FETCH):
        assert after == Cart(Phase.POST, cause=event, reason="why", **{event.value: 1})
    else:
        assert after is before


@pytest.mark.parametrize("event", sorted(LOST, key=lambda event: event.value))
@pytest.mark.parametrize("phase", [Phase.STAGE, Phase.FETCH])
def test_too_many_of_one_kind_fail(event, phase):
    limit = getattr(Limits(), event.value)
    almost = Cart(phase, **{event.value: limit - 1})
    assert step(almost, event, "why").phase is Phase.FAILED
    assert step(Cart(phase, **{event.value: limit - 2}), event).phase is Phase.POST
    others = {other.value: 1 for other in LOST - {event}}
    assert step(Cart(phase, **others), event).phase is Phase.POST


def test_any_sequence_of_losses_ends():
    limits = Limits()
    cart, carts = Cart(), 0
    for event in itertools.cycle(sorted(LOST, key=lambda event: event.value)):
        if cart.ended:
            break
        cart, carts = step(step(cart, Event.ACCEPTED), event), carts + 1
    assert cart.phase is Phase.FAILED and carts <= limits.error + limits.gone + limits.stuck


def test_polls_are_close_at_first_and_two_seconds_apart_at_last():
    assert pause(0) == pause(0.3) <= 0.05
    assert pause(1) == pytest.approx(0.1)
    assert pause(3600) == 2.0
    elapsed, polls = 0.0, 0
    while elapsed < 60:
        elapsed, polls = elapsed + pause(elapsed), polls + 1
    assert polls < 100
