"""Asks every service of a site for a sign of life."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from ...clock import Clock
from ...errors import NotFound, PacificaFSError
from ...model import Health
from ...transport.http import Http, Timeouts
from .policy import Policy

PROBE = Timeouts(connect=5.0, read=10.0)
# Every service says "up and running" at its root; the metadata service has no root, but a cheap question.
_PATHS = {"metadata": "/objectinfo/list"}


def probe(services: Mapping[str, Http], policy: Policy | None, login: str, clock: Clock) -> Health:
    """What each service says, all asked at once, and who `login` is at this site. Never raises."""
    with ThreadPoolExecutor(max(1, len(services)), "probe") as pool:
        found = {name: pool.submit(_state, http, _PATHS.get(name, "/")) for name, http in services.items()}
        states = {name: future.result() for name, future in found.items()}
    wrong = {name: state for name, state in states.items() if state != "ok"}
    error = "; ".join(f"{name}: {state}" for name, state in wrong.items())
    identity, latency = login, None
    if policy is not None and "policy" not in wrong:
        begun = clock.monotonic()
        try:
            number = int(login) if login.isdecimal() else policy.user_id(login)
            identity = f"{policy.user_name(number)} ({login}, user {number})"
            latency = clock.monotonic() - begun
        except NotFound as missing:
            error = "; ".join(filter(None, (error, f"{missing}; set user in the configuration")))
        except PacificaFSError as failure:
            error = "; ".join(filter(None, (error, f"policy: {failure}")))
    return Health(len(wrong) < len(states), identity, latency, error, states)


def _state(http: Http, path: str) -> str:
    try:
        http.request("GET", path, repeat=False, timeouts=PROBE)
    except NotFound:
        return "ok"
    except PacificaFSError as error:
        return str(error)
    return "ok"
