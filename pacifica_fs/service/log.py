"""Where messages go: standard error or the system's journal, and the last lines into `status/log`.

A message that is the same as one of the last minute is not repeated but counted, so that an outage under load does not
fill a disk; how often it came stands in the next line of its kind, or after the minute.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TextIO

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
JOURNAL = "%(name)s: %(message)s"
LINES = 500
ROOT = "pacifica_fs"
SAME_FOR = 60.0
KINDS = 1000
# As in syslog(3), which the journal takes from the beginning of a line.
PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}


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


class Repeats(logging.Filter):
    """Lets a message through once in SAME_FOR seconds, and then says how often it came meanwhile. Any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seen: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """False for a repetition."""
        if record.levelno < logging.INFO:
            return True
        key = record.name, record.levelno, record.getMessage()
        now = self._clock()
        until, count = self._seen.get(key, (0.0, 0))
        if now < until:
            self._seen[key] = until, count + 1
            return False
        if len(self._seen) >= KINDS:
            self._seen = {key: value for key, value in self._seen.items() if now < value[0]}
            if len(self._seen) >= KINDS:
                self._seen = {}
        self._seen[key] = now + SAME_FOR, 0
        if count:
            record.msg, record.args = f"{key[2]} (and {count} times more before)", None
        return True


class Json(logging.Formatter):
    """One JSON object a line: `time` (ISO 8601, UTC), `level`, `logger`, `message`, and `error` with a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Called by logging."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        found = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            found["error"] = self.formatException(record.exc_info)
        return json.dumps(found, ensure_ascii=False)


class Journal(logging.Formatter):
    """Lines with the journal's priority before each, and without a time, which it knows."""

    def __init__(self) -> None:
        super().__init__(JOURNAL)

    def format(self, record: logging.LogRecord) -> str:
        """Called by logging."""
        head = f"<{PRIORITIES.get(record.levelno, 6)}>"
        return "\n".join(head + line for line in super().format(record).splitlines())


def to_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """True if `stream` leads to systemd's journal ($JOURNAL_STREAM names its device and inode)."""
    try:
        state = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{state.st_dev}:{state.st_ino}"


def configure(
    foreground: bool,
    verbosity: int = 0,
    form: str = "text",
    environ: Mapping[str, str] = os.environ,
) -> Tail:
    """Set the program's logging up once, in the daemon; returns the tail for `status/log`.

    `verbosity` 0 shows what a user should know, 1 what happens, 2 everything. In the background messages go nowhere but
    to the tail. `form` is `text` or `json`; text is written as the journal wants it where it goes there.
    """
    logger = logging.getLogger(ROOT)
    for old in tuple(logger.handlers):
        logger.removeHandler(old)
    for old_filter in tuple(logger.filters):
        logger.removeFilter(old_filter)
    logger.setLevel(logging.DEBUG if verbosity > 1 else logging.INFO)
    logger.propagate = False
    # It warns of every connection above its pool's size: many readers at once are no trouble.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    repeats = Repeats()
    tail = Tail()
    handlers: list[logging.Handler] = [tail]
    if foreground:
        stream = logging.StreamHandler(sys.stderr)
        if form == "json":
            stream.setFormatter(Json())
        elif to_journal(sys.stderr, environ):
            stream.setFormatter(Journal())
        else:
            stream.setFormatter(logging.Formatter(FORMAT))
        handlers.append(stream)
    root = _Once(handlers)
    root.addFilter(repeats)
    logger.addHandler(root)
    return tail


class _Once(logging.Handler):
    """Asks its filter once for all handlers, of this logger and of those below."""

    def __init__(self, handlers: list[logging.Handler]) -> None:
        super().__init__()
        self._handlers = handlers

    def emit(self, record: logging.LogRecord) -> None:
        """Called by logging."""
        for handler in self._handlers:
            handler.handle(record)

    def close(self) -> None:
        """Called by logging."""
        for handler in self._handlers:
            handler.close()
        super().close()
