"""Rows of text files: encoding and delimiter found out, then the standard library's CSV reader. Constant memory."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from charset_normalizer import from_bytes

from .options import BadTable, NotATable, Options

Row = tuple[int, list[str]]
"""The line of the file where it begins, from 1, and its cells."""

SAMPLE = 1 << 18
LONGEST_CELL = 1 << 24
DELIMITERS = (",", "\t", ";", "|")
_NAMED = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BINARY = ((b"%PDF", "PDF"), (b"\x89PNG", "PNG image"), (b"PK\3\4", "ZIP archive"), (b"\xd0\xcf\x11\xe0", "OLE file"))


class TextFile(msgspec.Struct, frozen=True):
    """A text file that may be a table: how it is read. `remarks` say what was found out and may be wrong."""

    path: Path
    encoding: str
    delimiter: str
    remarks: tuple[str, ...] = ()

    @contextmanager
    def rows(self) -> Iterator[Iterator[Row]]:
        """All rows, empty ones as an empty list. BadTable where the file is damaged."""
        csv.field_size_limit(LONGEST_CELL)
        with self.path.open("r", encoding=self.encoding, newline="") as stream:
            yield self._rows(stream)

    def _rows(self, stream: io.TextIOBase) -> Iterator[Row]:
        lines = _Lines(stream)
        reader = csv.reader(lines, delimiter=self.delimiter)
        place = 1
        try:
            for cells in reader:
                yield place, cells
                last, place = place, reader.line_num + 1
            if place > 1 and place - last > 1 and '"' not in lines.last:
                raise BadTable(f"a quotation mark that is opened in line {last} is never closed")
        except csv.Error as error:
            raise BadTable(f"line {place}: {_explain(error)}") from None
        except UnicodeDecodeError as error:
            raise BadTable(f"after line {place} it is not {self.encoding}: {error.reason}; set its encoding") from None


def open_text(path: Path, options: Options, delimiter: str = "") -> TextFile:
    """Find out how to read `path`; `delimiter` is what its format says. NotATable for what is no text."""
    with path.open("rb") as stream:
        head = stream.read(SAMPLE)
    if not head.strip():
        raise NotATable("the file is empty")
    for magic, name in _BINARY:
        if head.startswith(magic):
            raise NotATable(f"the content is a {name}, not text")
    encoding, remarks = _encoding(path, head, options.encoding)
    text = codecs.getincrementaldecoder(encoding)("replace").decode(head)
    start = text[:1000].lstrip("\ufeff \t\r\n").lower()
    if start.startswith(("<!doctype", "<html", "<?xml", "<head")):
        raise NotATable("the content is a web page or XML, not a table")
    if "\0" in text[:4096]:
        raise NotATable("the content is binary, not text")
    found = _NAMED.get(options.delimiter, options.delimiter) or delimiter or sniff(text, len(head) < SAMPLE)
    if len(found) != 1 or found in '\r\n"':
        raise BadTable(f"a delimiter is one character, not {options.delimiter!r}")
    return TextFile(path, encoding, found, remarks)


def sniff(text: str, whole: bool = True) -> str:
    """The delimiter under which most lines have the same number of cells, and the most of them; a comma if none."""
    lines = text.splitlines(keepends=True)[:1000]
    if not whole and len(lines) > 1:
        lines.pop()
    best, found = (0.0, 0), ","
    for delimiter in DELIMITERS:
        try:
            widths = Counter(len(row) for row in csv.reader(lines, delimiter=delimiter) if row)
        except csv.Error:
            continue
        wide = {width: count for width, count in widths.items() if width > 1}
        if not wide:
            continue
        width, count = max(wide.items(), key=lambda item: (item[1], item[0]))
        score = (round(count / sum(widths.values()), 1), width)
        if score > best:
            best, found = score, delimiter
    return found


class _Lines:
    """Lines without NUL characters (the DataStore takes none), and the last of them."""

    def __init__(self, stream: io.TextIOBase) -> None:
        self._stream = stream
        self.last = ""

    def __iter__(self) -> Iterator[str]:
        for line in self._stream:
            self.last = line
            yield line.replace("\0", "") if "\0" in line else line


def _encoding(path: Path, head: bytes, wanted: str) -> tuple[str, tuple[str, ...]]:
    if wanted:
        try:
            name = codecs.lookup(wanted).name
        except LookupError:
            raise BadTable(f"the encoding {wanted!r} is not known here") from None
        return ("utf-8-sig" if name == "utf-8" else name), ()
    for bom, name in _BOMS:
        if head.startswith(bom):
            return name, ()
    for name, zeros in (("utf-16-le", head[1:400:2]), ("utf-16-be", head[0:400:2])):
        if len(zeros) > 2 and zeros.count(0) > 0.6 * len(zeros):
            return name, (f"read as {name}, which it does not say",)
    bad = _not_utf8(path)
    if bad is None:
        return "utf-8-sig", ()
    name = _guess(bad)
    return name, (f"not UTF-8: read as {name}; set encoding if that is wrong",)


def _not_utf8(path: Path) -> bytes | None:
    """What surrounds the first place that is not UTF-8; None if all is."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            try:
                decoder.decode(piece)
            except UnicodeDecodeError as error:
                return bytes(error.object[max(0, error.start - 20_000) : error.start + 20_000])
    return None if not decoder.getstate()[0] else decoder.getstate()[0]


def _guess(sample: bytes) -> str:
    """A Western encoding unless so many bytes are not ASCII that a better guess is possible."""
    high = sum(byte > 127 for byte in sample)
    if high * 8 > len(sample):
        best = from_bytes(sample).best()
        if best is not None:
            return best.encoding
    try:
        sample.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1"
    return "cp1252"


def _explain(error: csv.Error) -> str:
    if "field larger" in str(error):
        return f"a cell is longer than {LONGEST_CELL >> 20} MiB: is a quotation mark not closed?"
    return str(error)
