"""Names from servers made safe, once, here. Pure functions.

A safe name has no `/` and no NUL, is not empty, `.` or `..`, and has at most 255 bytes of UTF-8. Collisions get `~ID`,
decided by the listing alone, so that any name shown can be looked up again with a cold cache.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..model import FileRef

LONGEST = 255
_BAD = str.maketrans({"/": "∕", "\0": "␀"})
_SPECIAL = {"": "_", ".": "_.", "..": "_.."}


def safe_name(raw: str) -> str:
    """`raw` as one component of a path; deterministic, and `raw` itself where it is safe already.

    A name that is too long is cut before its extension and gets eight hex digits of its hash.
    """
    if raw.isascii() and len(raw) <= LONGEST and "/" not in raw and "\0" not in raw and raw not in _SPECIAL:
        return raw
    name = raw.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if not _encodable(raw) else raw
    name = _SPECIAL.get(name, name).translate(_BAD)
    if len(name.encode()) > LONGEST:
        name = _shorten(name, _mark(raw))
    return name


def arrange(files: Sequence[FileRef]) -> Mapping[str, Any]:
    """The files of a container as nested folders: name → FileRef, or name → a mapping of the same kind.

    Does not depend on the order of `files`. Of several files of one path each gets `~ID`; a file that has the name of a
    folder gets `~ID`, the folder keeps the name.
    """
    root: dict[str, Any] = {}
    folders: dict[tuple[str, ...], dict[str, Any]] = {(): root}
    wanted: dict[tuple[str, ...], dict[str, list[FileRef]]] = {}
    for file in files:
        raw = file.parts or (file.id,)
        above = tuple([safe_name(part) for part in raw[:-1]])
        if above not in folders:
            _make(folders, above)
        level = wanted.get(above)
        if level is None:
            level = wanted[above] = {}
        name = safe_name(raw[-1])
        rivals = level.get(name)
        if rivals is None:
            level[name] = [file]
        else:
            rivals.append(file)
    for above, level in wanted.items():
        _place(folders[above], level)
    return root


def unique(raws: Iterable[str], reserved: Iterable[str] = ()) -> list[str]:
    """A safe name for each of `raws` (which differ), none twice and none of `reserved`; independent of their order."""
    raws = list(raws)
    claims: dict[str, list[str]] = {}
    for raw in raws:
        claims.setdefault(safe_name(raw), []).append(raw)
    taken = set(reserved) | {name for name, rivals in claims.items() if len(rivals) == 1 and name not in reserved}
    names: dict[str, str] = {}
    for name, rivals in sorted(claims.items()):
        if len(rivals) == 1 and name not in reserved:
            names[rivals[0]] = name
            continue
        for raw in sorted(rivals):
            names[raw] = _free(name, _mark(raw), taken)
            taken.add(names[raw])
    return [names[raw] for raw in raws]


def _place(folder: dict[str, Any], level: dict[str, list[FileRef]]) -> None:
    clashes = []
    for name, rivals in level.items():
        if len(rivals) == 1 and name not in folder:
            folder[name] = rivals[0]
        else:
            clashes.append(name)
    taken = set(folder)
    for name in sorted(clashes):
        for file in sorted(level[name], key=lambda file: (file.id, file.parts)):
            free = _free(name, safe_name(file.id), taken)
            folder[free] = file
            taken.add(free)


def _make(folders: dict[tuple[str, ...], dict[str, Any]], path: tuple[str, ...]) -> None:
    for depth in range(1, len(path) + 1):
        if path[:depth] not in folders:
            folder: dict[str, Any] = {}
            folders[path[:depth]] = folder
            folders[path[: depth - 1]][path[depth - 1]] = folder


def _free(name: str, mark: str, taken: set[str]) -> str:
    candidate = _join(name, mark)
    number = 1
    while candidate in taken:
        number += 1
        candidate = _join(name, f"{mark}~{number}")
    return candidate


def _join(name: str, mark: str) -> str:
    joined = f"{name}~{mark}"
    return joined if len(joined.encode()) <= LONGEST else _shorten(name, mark)


def _shorten(name: str, mark: str) -> str:
    stem, dot, extension = name.rpartition(".")
    if not dot or not stem or len(extension.encode()) > 16:
        stem, dot, extension = name, "", ""
    tail = f"~{mark}{dot}{extension}"
    if len(tail.encode()) > LONGEST:
        tail = f"~{_mark(mark)}"
    room = LONGEST - len(tail.encode())
    return stem.encode()[:room].decode("utf-8", "ignore") + tail


def _mark(raw: str) -> str:
    return hashlib.sha256(raw.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _encodable(raw: str) -> bool:
    try:
        raw.encode()
    except UnicodeEncodeError:
        return False
    return True
