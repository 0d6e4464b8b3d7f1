"""How commands speak: colour and tables on a terminal, plain aligned text everywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from .terminal import Terminal


def printable(text: object) -> str:
    """`text` without what could steer a terminal or break a line; names come from servers and other people."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(text))


def size(count: object) -> str:
    """A number of bytes for people: `1.5 GiB`."""
    value = float(count) if isinstance(count, int | float) else 0.0
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def ago(moment: object, now: float) -> str:
    """How long ago `moment` (seconds since the epoch, or ISO 8601 text) was: `3 min`."""
    then = _seconds(moment)
    if then is None:
        return ""
    passed = max(now - then, 0)
    for limit, unit, length in ((120, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if passed < limit:
            return f"{passed / length:.0f} {unit}"
    return f"{passed / 86400:.0f} d"


def _seconds(moment: object) -> float | None:
    if isinstance(moment, int | float) and not isinstance(moment, bool):
        return float(moment)
    if isinstance(moment, str) and moment:
        from datetime import UTC, datetime

        try:
            parsed = datetime.fromisoformat(moment)
        except ValueError:
            return None
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    return None


class Output:
    """Standard output of one command. Not to be shared between threads."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Write to `stream`, by default what standard output is now."""
        self.stream = stream or sys.stdout
        self.fancy = self.stream.isatty()
        self.terminal = _terminal(self.stream) if self.fancy else None

    def line(self, text: str = "", style: str = "") -> None:
        """One line, in `style` on a terminal."""
        if self.terminal and style:
            self.terminal.line(text, style)
        else:
            click.echo(text, file=self.stream, color=False)

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A table; nothing is ever cut off where the output is not a terminal."""
        lines = [[printable(cell) for cell in row] for row in rows]
        if self.terminal:
            self.terminal.table(title, columns, lines)
        else:
            click.echo("\n".join(plain_table(title, columns, lines)), file=self.stream, color=False)


def _terminal(stream: TextIO) -> Terminal:
    from .terminal import Terminal  # rich takes a tenth of a second to import

    return Terminal(stream)


def plain_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The same as lines of text."""
    if not rows:
        return [f"{title}: none"]
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [columns, *rows]]
    return [f"{title}:", *(f"  {line}".rstrip() for line in lines)]


def complain(message: object) -> None:
    """An error for a person, on standard error: `pacifica-fs: what is wrong`."""
    click.echo(f"pacifica-fs: {message}", err=True)


def remark(message: str) -> None:
    """Something a person should know, on standard error."""
    click.echo(message, err=True)


def clock_text(seconds: float) -> str:
    """A moment as local time of day."""
    return time.strftime("%H:%M:%S", time.localtime(seconds))


def plain(value: Any) -> str:
    """A JSON value as it appears in a table."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)
