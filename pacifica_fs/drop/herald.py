"""Tells a command or a web server when a bundle is done, held or failed: `[drop] on_state`.

Told at least once for each such state, in the form of a CloudEvent 1.0: on the standard input of the command (words
split as a shell does, without one), or as the body of a POST. What fails is tried again with growing pauses for a day.
The journal notes what was told, so a restart neither forgets nor repeats it.
"""

from __future__ import annotations

import logging
import os
import shlex
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import requests

from ..clock import Clock
from .bundle import SpoolBundle
from .journal import seconds
from .spool import Spool
from .states import State
from .upload import upload
from .worker import Pauses

log = logging.getLogger(__name__)

TOLD = (State.DONE, State.HELD, State.FAILED)
TYPE = "org.pacifica.fs.upload."
TIMEOUT = 30.0
GIVE_UP = 86400.0

Teller = Callable[[dict[str, Any]], None]


class Herald:
    """Tells about the bundles of a spool."""

    def __init__(self, spool: Spool, tell: Teller, clock: Clock, stopping: Callable[[], bool]) -> None:
        self._spool, self._tell, self._clock, self._stopping = spool, tell, clock, stopping
        self._pauses = Pauses(5.0, 1800.0, 2.0)

    def step(self) -> float | None:
        """Tell what was not told; when to look again."""
        due: list[float] = []
        for bundle in list(self._spool.bundles.values()):
            if self._stopping():
                return None
            if not news(bundle):
                continue
            id = bundle.journal.id
            if self._pauses.due(id) <= self._clock.monotonic():
                self._announce(bundle)
            if news(bundle):
                due.append(self._pauses.due(id))
        return max(0.0, min(due) - self._clock.monotonic()) if due else None

    def _announce(self, bundle: SpoolBundle) -> None:
        journal = bundle.journal
        try:
            self._tell(event(bundle))
        except (OSError, subprocess.SubprocessError, requests.RequestException) as error:
            self._pauses.later(journal.id, self._clock.monotonic())
            since = self._clock.now() - seconds(journal.times.get(journal.state, ""))
            if since < GIVE_UP:
                log.warning("on_state: %s is %s could not be told: %s", journal.name, journal.state, error)
                return
            log.error("on_state: given up to tell that %s is %s: %s", journal.name, journal.state, error)
        self._pauses.soon(journal.id)
        with bundle.lock:
            if bundle.journal.state == journal.state:
                bundle.note(told=key(bundle))


def key(bundle: SpoolBundle) -> str:
    """What there is to tell: a state, and since when."""
    journal = bundle.journal
    return f"{journal.state.value} {journal.times.get(journal.state, '')}"


def news(bundle: SpoolBundle) -> bool:
    """True if the bundle is somewhere that was not told; what only an outage holds goes on by itself."""
    journal = bundle.journal
    return journal.state in TOLD and not journal.outage and journal.told != key(bundle)


def event(bundle: SpoolBundle) -> dict[str, Any]:
    """The CloudEvent; `data` has the fields of status.json."""
    journal = bundle.journal
    return {
        "specversion": "1.0",
        "id": f"{journal.id}-{journal.state.value}-{journal.times.get(journal.state, '')}",
        "source": f"pacifica-fs/{journal.archive}",
        "type": TYPE + journal.state.value,
        "subject": f"{journal.archive}/{journal.name}",
        "time": journal.times.get(journal.state, journal.updated),
        "datacontenttype": "application/json",
        "data": msgspec.to_builtins(upload(journal), enc_hook=str),
    }


def teller(target: str | Sequence[str]) -> Teller:
    """How to tell `target`: a URL, or a command as one text or as its words."""
    if isinstance(target, str) and target.startswith(("http://", "https://")):
        return lambda event: _post(target, event)
    words = shlex.split(target) if isinstance(target, str) else list(target)
    return lambda event: _run(words, event)


def _post(url: str, event: dict[str, Any]) -> None:
    headers = {"Content-Type": "application/cloudevents+json"}
    answer = requests.post(url, msgspec.json.encode(event), headers=headers, timeout=TIMEOUT)
    answer.raise_for_status()


def _run(words: Sequence[str], event: dict[str, Any]) -> None:
    data = event["data"]
    more = {
        "PACIFICA_FS_STATE": data["state"],
        "PACIFICA_FS_NAME": data["name"],
        "PACIFICA_FS_ARCHIVE": data["archive"],
        "PACIFICA_FS_TRANSACTION": data["transaction"],
    }
    subprocess.run(
        words,
        input=msgspec.json.encode(event),
        env={**os.environ, **more},
        timeout=TIMEOUT,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
