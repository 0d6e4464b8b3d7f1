"""A file as a table: what it is was decided over all of its rows, and its records come as the DataStore takes them.

Two passes over the file: `read` decides, `Table.records` gives. Memory does not grow with the number of rows (but a
workbook's sheet is in memory, see `workbook`). Nothing here knows CKAN or a server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Protocol

import msgspec

from . import headings, types
from .options import SHOWN, BadTable, Fault, Field, FieldOption, NotATable, Options
from .text import Row, open_text
from .types import Convert, Guess, Value
from .workbook import open_workbook

BATCH = 1000
WORKBOOKS = frozenset({"xls", "xlsx", "xlsm", "xlsb", "ods"})
TEXTS = {"csv": "", "tsv": "\t", "tab": "\t", "psv": "|"}
_MIME = {
    "text/csv": "csv",
    "application/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.ms-excel.sheet.macroenabled.12": "xlsm",
    "application/vnd.ms-excel.sheet.binary.macroenabled.12": "xlsb",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
}
GoOn = Callable[[], bool]


class Interrupted(Exception):
    """The caller's `go_on` said no."""


class Source(Protocol):
    """Where rows come from, as often as wanted."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was found out and may be wrong."""

    def rows(self) -> AbstractContextManager[Iterator[Row]]:
        """All rows from the first."""


class Table(msgspec.Struct, frozen=True):
    """What `read` found. `rows` is the number of records; `remarks` are sentences for the user, in their order."""

    fields: tuple[Field, ...]
    rows: int
    source: Source
    start: int
    convert: tuple[Convert, ...]
    nulls: frozenset[str]
    remarks: tuple[str, ...] = ()

    def records(self) -> Iterator[list[Value]]:
        """All records in file order, values in the order of `fields`. Bounded memory; may be called again.

        BadTable if the file is not what it was when it was read.
        """
        width, nulls, given = len(self.fields), self.nulls, 0
        converters = list(enumerate(self.convert))
        with self.source.rows() as rows:
            for line, cells in rows:
                if line < self.start or not headings.filled(cells):
                    continue
                given += 1
                if len(cells) != width:
                    cells = cells[:width] + [""] * (width - len(cells))
                try:
                    yield [None if _empty(cells[i], nulls) else convert(cells[i]) for i, convert in converters]
                except (ValueError, KeyError) as error:
                    raise BadTable(f"line {line}: {error}: the file changed while it was read") from error
        if given != self.rows:
            raise BadTable(f"the file changed while it was read: {self.rows} rows, then {given}")


def format_of(name: str, said: str = "", mime_type: str = "") -> str:
    """The format of the file called `name`: what is said of it, else by its suffix, else its type; empty if unknown."""
    for word in (said.strip().lower().lstrip("."), name.rpartition(".")[2].lower() if "." in name else ""):
        if word in WORKBOOKS or word in TEXTS:
            return word
        if word in _MIME:
            return _MIME[word]
        if word and said:
            return ""
    return _MIME.get(mime_type.partition(";")[0].strip().lower(), "")


def read(path: Path, format: str, options: Options | None = None, go_on: GoOn = lambda: True) -> Table:
    """The file at `path` as a table; `format` is of `format_of`.

    Reads all of it once. NotATable for what the DataStore cannot hold, BadTable where the file contradicts `options`
    (all bad cells are looked for, the first are named), Interrupted when `go_on()` is false (asked once a batch).
    """
    options = options or Options()
    for option in options.fields:
        types.check_option(option)
    if format in WORKBOOKS or (not format and options.sheet is not None):
        source: Source = open_workbook(path, options)
    elif format in TEXTS or options.delimiter:
        source = open_text(path, options, TEXTS.get(format, ""))
    else:
        raise NotATable("by its name and format it is no table (CSV, TSV, XLS, XLSX, ODS)")
    return _Reader(source, options, go_on).table()


class _Reader:
    """The first pass. For one thread, used once."""

    def __init__(self, source: Source, options: Options, go_on: GoOn) -> None:
        self.source, self.options, self.go_on = source, options, go_on
        self.nulls = frozenset(options.null_values)
        self.remarks = list(source.remarks)
        self.rows = 0
        self.short: list[int] = []
        self.long: list[int] = []
        self.empty: list[int] = []
        self.counts = {"short": 0, "long": 0, "empty": 0}
        self.faults: list[Fault] = []
        self.bad = 0
        self.guesses: list[Guess] = []
        self.given: dict[int, tuple[str, Convert]] = {}

    def table(self) -> Table:
        with self.source.rows() as rows:
            sample = list(islice(rows, BATCH))
            place = self._begin(sample)
            if place is None:
                raise NotATable("the file is empty")
            first, titled = place
            self.start = sample[first][0]
            found = sample[first][1] if titled else []
            while found and not found[-1].strip():
                found = found[:-1]
            if titled:
                self.start = sample[first + 1][0] if first + 1 < len(sample) else self.start + 1
                first += 1
            self.headings = [" ".join(heading.split()) for heading in found]
            self.width = len(self.headings) or max(len(row) for _, row in sample[first:])
            self.guesses = [Guess() for _ in range(self.width)]
            self._match_options()
            self._scan(chain(sample[first:], rows))
        return self._result()

    def _begin(self, sample: Sequence[Row]) -> tuple[int, bool] | None:
        wanted = self.options.header
        if wanted:
            for index, (line, _) in enumerate(sample):
                if line == wanted:
                    return index, True
            raise BadTable(f"there is no line {wanted}, which was said to have the headings")
        found = headings.heading_row([cells for _, cells in sample])
        if found is None:
            return None
        if wanted == 0:
            return (next(i for i, (_, cells) in enumerate(sample) if headings.filled(cells)), False)
        index, titled = found
        if not titled:
            self.remarks.append("no line has headings: the columns are numbered")
        above = [line for line, cells in sample[:index] if headings.filled(cells)]
        if above:
            self.remarks.append(f"{_lines(above, len(above))} above the table: not in it")
        return found

    def _match_options(self) -> None:
        """Which column each option is about, by heading or by name."""
        self.names = headings.names([*self.headings, *([""] * (self.width - len(self.headings)))])
        places = {name: index for index, name in reversed(list(enumerate(self.names)))}
        places.update({heading: i for i, heading in reversed(list(enumerate(self.headings))) if heading})
        self.options_at: dict[int, FieldOption] = {}
        for option in self.options.fields:
            index = places.get(option.id, places.get(" ".join(option.id.split())))
            if index is None:
                known = ", ".join(self.names[:20])
                raise BadTable(f"there is no column '{option.id}'; the columns are: {known}")
            if index in self.options_at:
                raise BadTable(f"the column '{option.id}' is described twice")
            self.options_at[index] = option
            type = option.type or ("timestamp" if option.date_format else "numeric" if option.decimal != "." else "")
            if type:
                self.given[index] = (type, types.converter(type, option))

    def _scan(self, rows: Iterator[Row]) -> None:
        while batch := list(islice(rows, BATCH)):
            if not self.go_on():
                raise Interrupted
            lines, kept = [], []
            for line, cells in batch:
                count = len(cells)
                if not headings.filled(cells):
                    self._note("empty", self.empty, line)
                    continue
                if count < self.width:
                    self._note("short", self.short, line)
                elif count > self.width and headings.filled(cells[self.width :]):
                    self._note("long", self.long, line)
                    self._widen(max(i for i, cell in enumerate(cells, 1) if cell.strip()))
                lines.append(line)
                kept.append(cells)
            self._columns(lines, kept)
            self.rows += len(kept)

    def _columns(self, lines: list[int], rows: list[list[str]]) -> None:
        nulls = self.nulls
        for index, cells in enumerate(islice(zip_longest(*rows, fillvalue=""), self.width)):
            if index in self.given:
                self._convert(index, lines, cells)
            elif self.guesses[index].open:
                stripped = [cell.strip() for cell in cells]
                if nulls:
                    stripped = ["" if cell in nulls else cell for cell in stripped]
                self.guesses[index].see(stripped, lines)

    def _convert(self, index: int, lines: list[int], cells: Sequence[str]) -> None:
        convert = self.given[index][1]
        for number, cell in enumerate(cells):
            if _empty(cell, self.nulls):
                continue
            try:
                convert(cell)
            except ValueError as error:
                self.bad += 1
                if len(self.faults) < SHOWN:
                    row = self.rows + number + 1
                    self.faults.append(Fault(lines[number], row, self.names[index], str(error)))

    def _widen(self, width: int) -> None:
        if width > headings.WIDEST:
            raise NotATable(f"a row has {width} cells; the DataStore holds at most {headings.WIDEST} columns")
        self.guesses += [Guess() for _ in range(width - self.width)]
        self.width = width
        self.names = headings.names([*self.headings, *([""] * (width - len(self.headings)))])

    def _note(self, kind: str, lines: list[int], line: int) -> None:
        self.counts[kind] += 1
        if len(lines) < SHOWN:
            lines.append(line)

    def _result(self) -> Table:
        if self.width > headings.WIDEST:
            raise NotATable(f"it has {self.width} columns; the DataStore holds at most {headings.WIDEST}")
        if self.faults:
            more = f" (and {self.bad - len(self.faults)} more cells)" if self.bad > len(self.faults) else ""
            raise BadTable("; ".join(map(str, self.faults)) + more, tuple(self.faults))
        fields, convert = [], []
        for index, name in enumerate(self.names):
            option = self.options_at.get(index)
            guess = self.guesses[index]
            guessed = "" if index in self.given else guess.type
            type = self.given[index][0] if index in self.given else types.column_type(guessed)
            heading = self.headings[index] if index < len(self.headings) else ""
            label, notes = (option.label, option.notes) if option else ("", "")
            fields.append(Field(name, type, heading, label or (heading if heading != name else ""), notes))
            convert.append(types.converter(type, option, guessed))
            self._explain(name, heading, guessed, guess)
        self._ragged()
        return Table(
            tuple(fields), self.rows, self.source, self.start, tuple(convert), self.nulls, tuple(self.remarks)
        )  # fmt: skip

    def _explain(self, name: str, heading: str, guessed: str, guess: Guess) -> None:
        if heading and name != heading:
            self.remarks.append(f"the column '{heading[:60]}' is called '{name}'")
        if guessed == "text" and guess.spoiler:
            line, cell = guess.spoiler
            self.remarks.append(
                f"the column '{name}' is text, not {guess.before}, because of {cell[:40]!r} in line {line}"
            )
        if guessed == "timestamp with offset":
            self.remarks.append(f"the times of '{name}' have an offset: they are stored in UTC")

    def _ragged(self) -> None:
        if self.short:
            self.remarks.append(
                f"{_lines(self.short, self.counts['short'])} with fewer cells: the missing ones are empty"
            )
        if self.long:
            extra = ", ".join(f"'{name}'" for name in self.names[len(self.headings) :][:SHOWN])
            self.remarks.append(
                f"{_lines(self.long, self.counts['long'])} with more cells than headings: kept in {extra}"
            )
        if self.empty:
            self.remarks.append(f"{_lines(self.empty, self.counts['empty'])} without any cell: left out")


def _lines(lines: Sequence[int], count: int) -> str:
    more = f" and {count - len(lines[:SHOWN])} more" if count > len(lines[:SHOWN]) else ""
    return f"line{'s' if count > 1 else ''} {', '.join(map(str, lines[:SHOWN]))}{more}"


def _empty(cell: str, nulls: frozenset[str]) -> bool:
    return not cell or cell.isspace() or (bool(nulls) and cell.strip() in nulls)
