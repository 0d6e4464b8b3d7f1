"""Colour and tables for a terminal, by rich; honours NO_COLOR."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

COLOURS = {
    "done": "green",
    "held": "yellow",
    "unconfirmed": "yellow",
    "failed": "red",
    "ok": "green",
    "wrong": "red",
    "remark": "yellow",
    "sending": "cyan",
    "ingesting": "cyan",
}


class Terminal:
    """One terminal. Text is printed as it is: no markup, no emoji, no guessing of highlights."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`."""
        self.console = Console(file=stream, highlight=False, markup=False, emoji=False)

    def line(self, text: str, style: str) -> None:
        """One line in a style of rich."""
        self.console.print(Text(text, style=style), soft_wrap=True)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table below its title; long cells are folded, never cut off."""
        self.console.print(Text(title, style="bold"))
        if not rows:
            self.console.print(Text("  none", style="dim"))
            return
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in row))
        self.console.print(table)

    def clear(self) -> None:
        """An empty screen, for the next picture of a live view."""
        self.console.clear()
