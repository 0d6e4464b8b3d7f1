"""Asks a site for a sign of life, and who we are there."""

from __future__ import annotations

from ...clock import Clock
from ...errors import PacificaFSError, Unreachable
from ...model import Health
from .client import Client
from .tape import Tape


def probe(client: Client, tape: Tape, clock: Clock) -> Health:
    """What the site says. Never raises. Wrong credentials are an error of a site that is reachable."""
    begun = clock.monotonic()
    try:
        tape.note(client.apps())
    except PacificaFSError as error:
        return Health(False, error=str(error), services={"api": str(error)})
    latency = clock.monotonic() - begun
    try:
        identity = client.who()
    except Unreachable as error:
        return Health(False, latency=latency, error=str(error), services={"api": str(error)})
    except PacificaFSError as error:
        return Health(True, "", latency, str(error), {"api": "ok", "login": str(error)})
    return Health(True, identity, latency, "", {"api": "ok"})
