"""Where messages go: standard error or the system's journal, and the last lines into `status/log`."""

from __future__ import annotations

import logging
import sys
from collections import deque

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
LINES = 500
ROOT = "pacifica_fs"


class Tail(logging.Handler):
    """Keeps the last lines in memory, for `status/log`. Any thread may ask for `text()`."""

    def __init__(self, lines: int = LINES) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(FORMAT))
        self._lines: deque[str] = deque(maxlen=lines)

    def emit(self, record: logging.LogRecord) -> None:
        """Called by logging."""
        self._lines.append(self.format(record))

    def text(self) -> str:
        """The lines, oldest first."""
        return "".join(line + "\n" for line in tuple(self._lines))


def configure(foreground: bool, verbosity: int = 0, file: str | None = None) -> Tail:
    """Set the program's logging up once, in the daemon; returns the tail for `status/log`.

    `verbosity` 0 shows what a user should know, 1 what happens, 2 everything. In the background messages go to
    `file` if one is given, else nowhere but to the tail.
    """
    logger = logging.getLogger(ROOT)
    for old in tuple(logger.handlers):
        logger.removeHandler(old)
    logger.setLevel(logging.DEBUG if verbosity > 1 else logging.INFO)
    logger.propagate = False
    # It warns of every connection above its pool's size: many readers at once are no trouble.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    tail = Tail()
    logger.addHandler(tail)
    handler: logging.Handler | None = None
    if foreground:
        handler = logging.StreamHandler(sys.stderr)
    elif file:
        handler = logging.FileHandler(file)
    if handler is not None:
        handler.setFormatter(logging.Formatter(FORMAT))
        handler.setLevel(logging.WARNING if verbosity == 0 and not foreground else logging.DEBUG)
        logger.addHandler(handler)
    return tail
