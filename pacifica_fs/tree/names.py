"""Names from servers are made safe here, once; nothing else turns a server's words into the name of a tree's entry.

A *safe* name is a single component: not empty, not `.` or `..`, without `/` and NUL, encodable, at most 255 bytes of
UTF-8. Where several entries of one folder want the same safe name, each of them is shown as `NAME~ID`; a folder of
files keeps its name against a file. Everything here is a pure function of its arguments and does not depend on their
order, so a name that was once shown is found again from a fresh listing. May be called from any thread.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable
from typing import Any, TypeAlias

from ..model import FileRef

NAME_MAX = 255
"""Bytes of UTF-8 that Linux takes for one component."""

Tree: TypeAlias = dict[str, "FileRef | Tree"]
"""A container's files by safe names: a value is a file, or the folder of that name."""

_EXTENSION_MAX = 32
_ID_MAX = 64
_DOTS = frozenset({"", ".", ".."})
_UNSAFE = str.maketrans({"/": "_", "\0": "_"})
_SURROGATE = re.compile("[\ud800-\udfff]")


def safe_name(raw: str) -> str:
    """`raw` as a safe name: itself where it is one already (so it is idempotent).

    `/` and NUL become `_`, as do all dots of `.` and `..`; a surrogate, which UTF-8 cannot hold, becomes U+FFFD; what
    is too long is cut and marked by a hash of the whole, its extension kept. Different raw names may give one name.
    """
    if raw in _DOTS:
        return "_" * len(raw) or "_"
    if "/" not in raw and "\0" not in raw:
        try:
            if _size(raw) <= NAME_MAX:
                return raw
        except UnicodeEncodeError:
            pass
    name = _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", raw.translate(_UNSAFE))
    return name if _size(name) <= NAME_MAX else _shortened(name, raw)


def arrange(files: Iterable[FileRef], others: Iterable[tuple[str, ...]] = ()) -> Tree:
    """All `files` of one container as a tree of safe names; every file is in it once (equal ones are one file).

    `others` are raw paths of folders that are in it, too, whatever is in them.
    Folders whose names become the same are one folder. A file that has the path of a folder, or of another file, is
    shown as `NAME~ID`. A file without any path is called by its id.
    """
    files = list(files)
    root: Tree = {}
    folders = {parts: _folder(root, parts) for parts in sorted({file.parts[:-1] for file in files} | set(others))}
    clashes: dict[tuple[int, str], tuple[Tree, list[FileRef]]] = {}
    for file in files:
        parts = file.parts
        folder = folders[parts[:-1]]
        name = safe_name(parts[-1] if parts else file.id)
        if folder.setdefault(name, file) is not file:
            clashes.setdefault((id(folder), name), (folder, []))[1].append(file)
    rivals: dict[int, tuple[Tree, list[tuple[str, FileRef]]]] = {}
    for (key, name), (folder, clash) in clashes.items():
        there = folder[name]
        distinct = dict.fromkeys(clash if isinstance(there, dict) else [there, *clash])
        if not isinstance(there, dict):
            if len(distinct) == 1:
                continue
            del folder[name]
        rivals.setdefault(key, (folder, []))[1].extend((name, file) for file in distinct)
    for folder, wanted in rivals.values():
        _number(folder, [(name, file.id, _order(file), file) for name, file in wanted])
    return root


def safe_entries(ids_and_titles: Iterable[tuple[str, str]], taken: Collection[str] = ()) -> dict[str, str]:
    """Names for groups or containers of one folder: safe name → id, in the order of the ids and titles given.

    An entry without a title is called by its id. Equal safe names, and those in `taken` (other entries of the same
    folder, such as `README.txt`), are shown as `TITLE~ID`.
    """
    pairs = dict.fromkeys(ids_and_titles)
    wanted: dict[str, list[tuple[str, str]]] = {}
    for pair in pairs:
        wanted.setdefault(safe_name(pair[1] or pair[0]), []).append(pair)
    found: dict[str, tuple[str, str] | None] = dict.fromkeys(taken)
    rivals: list[tuple[str, str, tuple[str, str], tuple[str, str]]] = []
    for name, rival in wanted.items():
        if len(rival) == 1 and name not in taken:
            found[name] = rival[0]
        else:
            rivals += [(name, pair[0], pair, pair) for pair in rival]
    _number(found, rivals)
    names = {pair: name for name, pair in found.items() if pair is not None}
    return {names[pair]: pair[0] for pair in pairs}


def _folder(root: Tree, parts: tuple[str, ...]) -> Tree:
    """The folder of raw `parts`, made where it is missing. Called before there are files in the tree."""
    for part in parts:
        below = root.setdefault(safe_name(part), {})
        assert isinstance(below, dict)
        root = below
    return root


def _number(folder: dict[str, Any], rivals: list[tuple[str, str, Any, Any]]) -> None:
    """Put rivals (name, id, what orders them, value) into `folder` under `NAME~ID`, never over what is in it already.

    `NAME~ID` may itself be somebody's real name, or wanted twice where a server repeats an id: then `NAME~ID~2`, ….
    """
    for name, id, _, value in sorted(rivals, key=lambda rival: rival[:3]):
        suffix, turn = f"~{_short_id(id)}", 1
        candidate = _suffixed(name, suffix)
        while candidate in folder:
            turn += 1
            candidate = _suffixed(name, f"{suffix}~{turn}")
        folder[candidate] = value


def _order(file: FileRef) -> tuple[object, ...]:
    """Everything of a file: rivals are ordered by it, whatever order they came in."""
    return (
        file.parts,
        file.size,
        file.mtime_ns,
        str(file.digest or ""),
        file.validator or "",
        file.mime_type or "",
        file.container,
        file.archive,
    )


def _suffixed(name: str, suffix: str) -> str:
    return _cut(name, NAME_MAX - _size(suffix)) + suffix


def _short_id(id: str) -> str:
    safe = safe_name(id)
    return safe if _size(safe) <= _ID_MAX else _mark(id)


def _shortened(name: str, raw: str) -> str:
    stem, dot, extension = name.rpartition(".")
    ending = f"~{_mark(raw)}"
    if stem and dot and 0 < _size(extension) <= _EXTENSION_MAX:
        ending += dot + extension
    else:
        stem = name
    return _cut(stem, NAME_MAX - _size(ending)) + ending


def _mark(raw: str) -> str:
    return hashlib.blake2b(raw.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()


def _cut(text: str, size: int) -> str:
    """As many characters of `text` as fit into `size` bytes."""
    return text.encode()[:size].decode(errors="ignore")


def _size(text: str) -> int:
    return len(text.encode())
