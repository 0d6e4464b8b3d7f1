"""Rows of workbooks (XLS, XLSX, XLSB, ODS), by calamine. A whole sheet is in memory, so its size has a limit."""

from __future__ import annotations

import datetime
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from ....errors import ConfigError
from .options import BadTable, NotATable, Options
from .text import Row

LARGEST = 1 << 29
"""Bytes of a workbook, unpacked. A larger table belongs into a CSV file."""


class Workbook(msgspec.Struct, frozen=True):
    """One sheet of a workbook."""

    path: Path
    sheet: int
    remarks: tuple[str, ...] = ()

    @contextmanager
    def rows(self) -> Iterator[Iterator[Row]]:
        """All rows with the cells as text, in the form in which `types` takes them; lines count from 1."""
        with _open(self.path) as book:
            yield _rows(book.get_sheet_by_index(self.sheet))


def open_workbook(path: Path, options: Options) -> Workbook:
    """Choose the sheet: the one asked for, else the first that has anything in it."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            size = sum(part.file_size for part in packed.infolist())
    else:
        size = path.stat().st_size
    if size > LARGEST:
        raise NotATable(f"a workbook of more than {LARGEST >> 20} MiB unpacked; save the table as CSV")
    with _open(path) as book:
        names = list(book.sheet_names)
        wanted = options.sheet
        if wanted is not None:
            return Workbook(path, _index(names, wanted))
        for index, name in enumerate(names):
            if any(any(cells) for _, cells in _rows(book.get_sheet_by_index(index))):
                remark = f"the sheet '{name}' was taken, of {len(names)}: {', '.join(names[:10])}"
                return Workbook(path, index, (remark,) if len(names) > 1 else ())
    raise NotATable("all sheets are empty")


def _index(names: list[str], wanted: str | int) -> int:
    if isinstance(wanted, str) and wanted in names:
        return names.index(wanted)
    if isinstance(wanted, int) or wanted.isdecimal():
        number = int(wanted)
        if 0 <= number < len(names):
            return number
    raise BadTable(f"there is no sheet {wanted!r}; the sheets are, from 0: {', '.join(names[:20])}")


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    try:
        from python_calamine import CalamineError, PasswordError, load_workbook
    except ImportError:
        raise ConfigError("workbooks need the package python-calamine: pip install 'pacifica-fs[ckan]'") from None
    try:
        with load_workbook(str(path)) as book:
            yield book
    except PasswordError:
        raise NotATable("the workbook is protected by a password") from None
    except (CalamineError, zipfile.BadZipFile) as error:
        raise NotATable(f"the workbook cannot be read: {str(error).splitlines()[0][:200]}") from None


def _rows(sheet: Any) -> Iterator[Row]:
    for line, cells in enumerate(sheet.iter_rows(), 1):
        yield line, [_cell(cell) for cell in cells]


def _cell(cell: object) -> str:
    if isinstance(cell, str):
        return cell.replace("\0", "")
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, datetime.datetime):
        return cell.isoformat(" ")
    if isinstance(cell, datetime.date | datetime.time):
        return cell.isoformat()
    return "" if cell is None else str(cell)
