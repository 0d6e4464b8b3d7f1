"""`djarchive-manifest.csv`: text in, lines of (size, sha256, path) out, and the other way round. Pure.

One line for a file, `"SIZE","SHA256","PATH"`, without a header and without itself. It is not quite CSV: nothing is
escaped. So a line is recognised by how it begins, and a path is all that stands between its quotes, with whatever
commas, quotes and even newlines there are in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ...errors import BadAnswer, Unreachable

NAME = "djarchive-manifest.csv"
"""The manifest's name in a revision; uploaded last, it says that the revision is complete."""

Line = tuple[int, str, str]
"""Size in bytes, sha256 as lower-case hex, path with `/` between its components."""

_LINE = re.compile(r'"(\d{1,18})","([0-9a-f]{64})","(.+)"\r?')
_LOOSE = re.compile(r'\s*"?(\d{1,18})"?\s*,\s*"?([0-9A-Fa-f]{64})"?\s*,(.*)', re.DOTALL)


def parse(data: bytes, where: str) -> Iterator[Line]:
    """The manifest's lines, in its order, one by one: of a million lines only the text itself is held.

    BadAnswer says which line of `where` is none; Unreachable for a web page in its place.
    """
    start = data[:200].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        raise Unreachable(f"{where}: a web page came instead of the manifest")
    text = data.decode("utf-8-sig", "surrogateescape")
    match = _LINE.fullmatch
    position, number, end = 0, 0, len(text)
    while position < end:
        stop = text.find("\n", position)
        stop = end if stop < 0 else stop
        line = text[position:stop]
        position, number = stop + 1, number + 1
        found = match(line)
        if found is not None:
            yield int(found[1]), found[2], found[3]
        elif line.strip():
            size, digest, path, position, more = _unusual(text, line, position, f"{where}, line {number}")
            number += more
            yield size, digest, path


def format(lines: Iterable[Line]) -> bytes:
    """The manifest of `lines`, as djarchive-client reads it."""
    return "".join(f'"{size}","{digest}","{path}"\n' for size, digest, path in lines).encode()


def _unusual(text: str, line: str, position: int, where: str) -> tuple[int, str, str, int, int]:
    """A line in another spelling, or a path with newlines in it: size, digest, path, where it ends, lines more."""
    found = _LOOSE.fullmatch(line)
    if found is None:
        raise BadAnswer(f'{where}: "SIZE","SHA256","PATH" was expected, not {line[:100]!r}')
    size, digest, path = int(found[1]), found[2].lower(), found[3].removesuffix("\r").strip(" \t")
    more = 0
    if path.startswith('"'):
        while not (len(path) > 1 and path.rstrip("\r").endswith('"')):
            stop = text.find("\n", position)
            if position >= len(text) or _LOOSE.fullmatch(text[position : stop if stop >= 0 else len(text)]):
                raise BadAnswer(f"{where}: the path has no end")
            stop = len(text) if stop < 0 else stop
            path += "\n" + text[position:stop]
            position, more = stop + 1, more + 1
        path = path.rstrip("\r")[1:-1]
    if not path:
        raise BadAnswer(f"{where}: it has no path")
    return size, digest, path, position, more
