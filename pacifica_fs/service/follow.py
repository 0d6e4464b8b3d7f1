"""Asks archives in the background whether they have changed, so that listings are fresh and cost nothing meanwhile."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from ..errors import PacificaFSError
from ..tree.changes import EVERY

log = logging.getLogger(__name__)
ILL = 30.0


class Follow:
    """One thread for each archive; `trees` maps its name to `ArchiveTree.follow`. `start` and `stop`: called once."""

    def __init__(self, trees: Mapping[str, Callable[[], bool]], every: float = EVERY) -> None:
        self._trees = trees
        self._every = every
        self._stop = threading.Event()

    def start(self) -> None:
        """Begin to ask."""
        for name, follow in self._trees.items():
            threading.Thread(target=self._run, args=(name, follow), name=f"follow {name}", daemon=True).start()

    def stop(self) -> None:
        """Ask no more."""
        self._stop.set()

    def _run(self, name: str, follow: Callable[[], bool]) -> None:
        pause = self._every
        while not self._stop.wait(pause):
            pause = self._every
            try:
                if not follow():
                    return
            except PacificaFSError as error:
                log.debug("whether %s has changed cannot be asked: %s", name, error)
                pause = ILL
            except Exception:  # the outermost guard of a thread
                log.exception("asking whether %s has changed failed unexpectedly", name)
                pause = ILL
