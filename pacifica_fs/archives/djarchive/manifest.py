"""`djarchive-manifest.csv`: text in, lines of (size, sha256, path) out, and the other way round. Pure.

One line for a file, `"SIZE","SHA256","PATH"`, without a header and without itself. It is not quite CSV: nothing is
escaped. So a line is recognised by how it begins, and a path is all that stands between its quotes, with whatever
commas, quotes and even newlines there are in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from ...errors import BadAnswer, Unreachable

NAME = "djarchive-manifest.csv"
"""The manifest's name in a revision; uploaded last, it says that the revision is complete."""

Line = tuple[int, str, str]
"""Size in bytes, sha256 as lower-case hex, path with `/` between its components."""

DIGITS = 64
_HEX = b"0123456789abcdef"
_LENGTHS = frozenset(range(1, 19))
_LINE = re.compile(r'"(\d{1,18})","([0-9a-f]{64})","(.+)"\r?')
_LOOSE = re.compile(r'\s*"?(\d{1,18})"?\s*,\s*"?([0-9A-Fa-f]{64})"?\s*,(.*)', re.DOTALL)
_NEXT = re.compile(rb'\n(?=\s*"?\d{1,18}"?\s*,\s*"?[0-9A-Fa-f]{64}"?\s*,)')
_BLOCK = 1 << 20
_BOM = b"\xef\xbb\xbf"


class Block(msgspec.Struct, frozen=True):
    """Some lines by columns: `digests` are hex, `paths` as they are in the manifest."""

    sizes: Sequence[int]
    digests: Sequence[bytes]
    paths: Sequence[bytes]


def blocks(data: bytes | memoryview, where: str) -> Iterator[Block]:
    """All lines, in the manifest's order, about a mebibyte of them at a time: ten times as fast as one by one.

    BadAnswer says which line of `where` is none; Unreachable for a web page in its place.
    """
    start = bytes(data[:200]).lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        raise Unreachable(f"{where}: a web page came instead of the manifest")
    position, number, end = len(_BOM) if start.startswith(_BOM) else 0, 1, len(data)
    while position < end:
        found = _NEXT.search(data, min(position + _BLOCK, end))
        stop = found.end() if found else end
        block = bytes(data[position:stop])
        yield _usual(block) or _one_by_one(block, where, number)
        position, number = stop, number + block.count(b"\n")


def parse(data: bytes | memoryview, where: str) -> Iterator[Line]:
    """The lines one by one; see `blocks`."""
    for block in blocks(data, where):
        for size, digest, path in zip(block.sizes, block.digests, block.paths, strict=True):
            yield size, digest.decode(), path.decode("utf-8", "surrogateescape")


def format(lines: Iterable[Line]) -> bytes:
    """The manifest of `lines`, as djarchive-client reads it."""
    return "".join(f'"{size}","{digest}","{path}"\n' for size, digest, path in lines).encode()


def _usual(block: bytes) -> Block | None:
    """The lines of a block all of which are as djarchive-client writes them, without quotes in their paths."""
    if not block.startswith(b'"') or b"\r" in block:
        return None
    words = block.rstrip(b"\n")[1:-1].replace(b'"\n"', b'","').split(b'","')
    sizes, digests, paths = words[::3], words[1::3], words[2::3]
    joined = b"".join(paths)
    if (
        len(sizes) == len(paths)
        and {*map(len, digests)} == {DIGITS}
        and not b"".join(digests).translate(None, _HEX)
        and b"".join(sizes).isdigit()
        and {*map(len, sizes)} <= _LENGTHS
        and all(paths)
        and b'"' not in joined
        and b"\n" not in joined
        and block.rstrip(b"\n").endswith(b'"')
    ):
        return Block(list(map(int, sizes)), digests, paths)
    return None


def _one_by_one(block: bytes, where: str, number: int) -> Block:
    """The lines of any other block, whose first one has that number."""
    text = block.decode("utf-8", "surrogateescape")
    sizes: list[int] = []
    digests: list[bytes] = []
    paths: list[bytes] = []
    position, end = 0, len(text)
    while position < end:
        stop = text.find("\n", position)
        stop = end if stop < 0 else stop
        line = text[position:stop]
        position, this = stop + 1, number
        number += 1
        found = _LINE.fullmatch(line)
        if found is not None:
            size, digest, path = int(found[1]), found[2], found[3]
        elif line.strip():
            size, digest, path, position, more = _unusual(text, line, position, f"{where}, line {this}")
            number += more
        else:
            continue
        sizes.append(size)
        digests.append(digest.encode())
        paths.append(path.encode("utf-8", "surrogateescape"))
    return Block(sizes, digests, paths)


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
