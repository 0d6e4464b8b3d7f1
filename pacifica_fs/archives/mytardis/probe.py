"""Asks a site for a sign of life, and who we are there."""

from __future__ import annotations

from ...clock import Clock
from ...errors import Denied, PacificaFSError
from ...model import Health
from .client import Client
from .tape import Tape


def probe(client: Client, tape: Tape, clock: Clock) -> Health:
    """What the site says. Never raises. Wrong credentials are an error of a site that is reachable."""
    begun = clock.monotonic()
    try:
        tape.note(client.apps())
        latency = clock.monotonic() - begun
        identity = client.who()
    except Denied as refused:
        return Health(True, error=str(refused), services={"api": "ok", "login": str(refused)})
    except PacificaFSError as error:
        return Health(False, error=str(error), services={"api": str(error)})
    return Health(True, identity, latency, "", {"api": "ok"})
