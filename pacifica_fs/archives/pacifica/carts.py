"""The life of a cart, as a pure state machine: what happened goes in, what to do next comes out.

    POST ──accepted──▶ STAGE ──ready──▶ FETCH ──read──▶ DONE
      ▲                 │  ▲             │ │
      │                 │  └──staging────┘ │       a GET may still say "not ready"
      └──error, gone, stuck────────────────┘       a new cart with a new uid, until there were too many: FAILED

`error` is final for a cart; one that is gone was purged by the site; one that is staging for very long is dead (a
worker that died leaves it so for ever). Each is counted by itself, so that a site whose disk is tight is not
mistaken for one whose file is broken.
"""

from __future__ import annotations

from enum import Enum

import msgspec


class Phase(Enum):
    """What is to be done next."""

    POST = "post"
    STAGE = "stage"
    FETCH = "fetch"
    DONE = "done"
    FAILED = "failed"


class Event(Enum):
    """What the server, or the clock, said."""

    ACCEPTED = "accepted"
    STAGING = "staging"
    READY = "ready"
    ERROR = "error"
    GONE = "gone"
    STUCK = "stuck"
    READ = "read"


class Limits(msgspec.Struct, frozen=True):
    """How many carts for the same files may end in error, vanish or get stuck."""

    error: int = 3
    gone: int = 5
    stuck: int = 2


class Cart(msgspec.Struct, frozen=True):
    """A request for files, through as many carts as it takes. `reason` is the server's last complaint."""

    phase: Phase = Phase.POST
    error: int = 0
    gone: int = 0
    stuck: int = 0
    cause: Event | None = None
    reason: str = ""

    @property
    def ended(self) -> bool:
        """True if nothing more is to be done."""
        return self.phase in (Phase.DONE, Phase.FAILED)


_FORWARD = {
    (Phase.POST, Event.ACCEPTED): Phase.STAGE,
    (Phase.STAGE, Event.READY): Phase.FETCH,
    (Phase.FETCH, Event.STAGING): Phase.STAGE,
    (Phase.FETCH, Event.READ): Phase.DONE,
}
_LOST = (Event.ERROR, Event.GONE, Event.STUCK)


def step(cart: Cart, event: Event, reason: str = "", limits: Limits | None = None) -> Cart:
    """The cart after `event`. Total: what makes no sense in a phase changes nothing."""
    limits = limits or Limits()
    if event in _LOST and cart.phase in (Phase.STAGE, Phase.FETCH):
        count = getattr(cart, event.value) + 1
        phase = Phase.POST if count < getattr(limits, event.value) else Phase.FAILED
        return msgspec.structs.replace(cart, phase=phase, cause=event, reason=reason, **{event.value: count})
    following = _FORWARD.get((cart.phase, event), cart.phase)
    return cart if following is cart.phase else msgspec.structs.replace(cart, phase=following)


def pause(staging: float) -> float:
    """Seconds until the next look at a cart that has been staging for so long.

    A small file is ready after 0.15 s, so the first looks are close together; later a look costs the reader at most a
    tenth of what it has waited, and the server one request in two seconds.
    """
    return min(2.0, max(0.035, staging / 10))
