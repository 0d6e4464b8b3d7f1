"""Whether an archive knows what a new folder's name says (`layout`): asked at `mkdir`, and never waited for long."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence

from ..archive import Inbox
from ..errors import NotPermitted, PacificaFSError
from ..model import Problem

log = logging.getLogger(__name__)

PATIENCE = 3.0
"""Seconds that `mkdir` waits; without an answer the folder is made, and its bundles are checked later."""


class Allowed:
    """Asks the inbox's optional `unknown(fields)`: problems with those values alone. Threading: any thread."""

    def __init__(self, inbox: Inbox) -> None:
        self._ask: Callable[[Mapping[str, str]], Sequence[Problem]] | None = getattr(inbox, "unknown", None)

    def require(self, fields: Mapping[str, str]) -> None:
        """NotPermitted if the archive says that it does not know a value of `fields`."""
        ask = self._ask
        if not fields or ask is None:
            return
        answer: list[Sequence[Problem]] = []

        def run() -> None:
            try:
                answer.append(ask(fields))
            except PacificaFSError as error:
                log.info("a folder for %s is made unchecked: %s", dict(fields), error)

        thread = threading.Thread(target=run, name="drop: mkdir asks", daemon=True)
        thread.start()
        thread.join(PATIENCE)
        if answer and answer[0]:
            raise NotPermitted("; ".join(problem.what for problem in answer[0]))
