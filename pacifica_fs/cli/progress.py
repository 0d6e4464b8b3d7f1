"""How far work on many files is: a bar on a terminal, and a line for each file."""

from __future__ import annotations

import threading
import time
from collections import Counter
from types import TracebackType
from typing import Any

from . import inside
from .codes import Exit
from .output import Output, complain, printable, size


class Progress:
    """Counts files and bytes of one command, and tells. `moved` may be called by any thread, the rest by one."""

    def __init__(self, total: int, quiet: bool, output: Output | None = None) -> None:
        """`total` in bytes; `quiet`: no line for a file that went well."""
        self.counts: Counter[str] = Counter()
        self.failed = 0
        self._output = output or Output()
        self._quiet = quiet
        self._bytes = 0
        self._lock = threading.Lock()
        self._begun = time.monotonic()
        self._total = total
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        if self._output.terminal is not None:
            from rich import progress  # takes a tenth of a second to import

            columns = (
                progress.BarColumn(),
                progress.TaskProgressColumn(),
                progress.DownloadColumn(binary_units=True),
                progress.TransferSpeedColumn(),
                progress.TimeRemainingColumn(),
            )
            self._bar = progress.Progress(*columns, console=self._output.terminal.console, transient=True)
            self._task = self._bar.add_task("", total=max(self._total, 1))
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def moved(self, count: int) -> None:
        """Bytes that were done."""
        with self._lock:
            self._bytes += count
        if self._bar is not None:
            self._bar.advance(self._task, count)

    def done(self, path: str, what: str) -> None:
        """A file is through: `what` became of it, "" for what does not count."""
        if not what:
            return
        self.counts[what] += 1
        if not self._quiet:
            self._output.line(f"{what:<8} {printable(path)}")

    def fail(self, path: str, error: Exception) -> None:
        """A file could not be done."""
        self.failed += 1
        words = inside.said(error) if isinstance(error, OSError) else str(error)
        complain(f"{printable(path)}: {words}")

    def summary(self, *words: str) -> Exit:
        """The last line, with the counts of all `words`; the exit code."""
        seconds = max(time.monotonic() - self._begun, 0.001)
        counts = ", ".join(f"{self.counts[word]} {word}" for word in words)
        with self._lock:
            done = self._bytes
        self._output.line(f"{counts}, {self.failed} failed; {size(done)} in {seconds:.1f} s")
        return Exit.FAILED if self.failed else Exit.OK
