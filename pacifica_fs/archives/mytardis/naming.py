"""Names of folders and files: text and id, so that equal titles differ and a name is found by its id alone.

Pure functions. What they give is made safe once more by `tree.names`, which leaves it as it is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Literal
from urllib.parse import quote

import msgspec

from ...model import FileRef

NAME_MAX = 255
Style = Literal["plain", "sftp"]
_CONTROL = re.compile("[/\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# What stands for a percent sign of ours must be told from one of theirs.
_LOOKS_QUOTED = re.compile("%(?=[0-9A-Fa-f]{2})")
_ID = re.compile(r"(?:.*_)?([1-9][0-9]{0,18})", re.DOTALL)


def label(text: str, id: str, style: Style) -> str:
    """The folder's name of an experiment or data set: `TEXT_ID`, at most 255 bytes.

    Plain: spaces and other scripts are kept; slashes and control characters are percent-quoted. `sftp`: as the site's
    own SFTP view has it.
    """
    if style == "sftp":
        made = quote(text.replace(" ", "_"), safe="")
    else:
        made = _plain(text.strip())
    ending = f"_{id}"
    return (_cut(made, NAME_MAX - len(ending)) or "untitled") + ending


def trailing_id(name: str) -> str:
    """The id of `ANYTHING_ID`, or of a bare `ID`; empty where there is none."""
    match = _ID.fullmatch(name)
    return match[1] if match else ""


def folders(directory: object) -> tuple[str, ...]:
    """A `directory` field as components: no stray slashes, no `.`; `..` leads nowhere."""
    if not isinstance(directory, str):
        return ()
    return tuple("%2E%2E" if part == ".." else part for part in directory.split("/") if part not in ("", "."))


def parts(directory: object, filename: str, style: Style) -> tuple[str, ...]:
    """The path of a file below its data set."""
    return (*folders(directory), quote(filename, safe="") if style == "sftp" else filename)


def distinct(files: Iterable[FileRef], others: Iterable[tuple[str, ...]] = ()) -> list[FileRef]:
    """`files` with a path for each: of several versions the highest has the plain name, a folder keeps its own.

    `others` are folders besides those that the files are in. Earlier versions are `NAME (version N)`, what clashes
    with a folder, or still with another file, is `NAME_ID`.
    """
    files = list(files)
    taken = {path[:depth] for path in (f.parts for f in files) for depth in range(1, len(path))}
    for path in others:
        taken |= {path[:depth] for depth in range(1, len(path) + 1)}
    by_path: dict[tuple[str, ...], list[FileRef]] = {}
    for file in files:
        by_path.setdefault(file.parts, []).append(file)
    plain = {path for path in by_path if path not in taken}
    found: list[FileRef] = []
    renamed: set[tuple[str, ...]] = set()
    for path, rivals in by_path.items():
        rivals.sort(key=_age, reverse=True)
        for place, file in enumerate(rivals):
            if place == 0 and path in plain:
                found.append(file)
                continue
            version = dict(file.extra).get("version", "")
            name = _with(path[-1], f" (version {version})") if place and version else ""
            candidate = (*path[:-1], name)
            if not name or candidate in plain | taken | renamed:
                candidate = (*path[:-1], _with(path[-1], f"_{file.id}"))
            renamed.add(candidate)
            found.append(msgspec.structs.replace(file, parts=candidate))
    return found


def _age(file: FileRef) -> tuple[int, int]:
    version = dict(file.extra).get("version", "")
    return (int(version) if version.isdecimal() else 0, int(file.id))


def _with(name: str, ending: str) -> str:
    """`ending` before the extension."""
    stem, dot, extension = name.rpartition(".")
    if not stem:
        return name + ending
    return f"{stem}{ending}{dot}{extension}"


def _plain(text: str) -> str:
    made = unicodedata.normalize("NFC", text)
    if not _CONTROL.search(made):
        return made
    made = _LOOKS_QUOTED.sub("%25", made)
    return _CONTROL.sub(lambda match: quote(match[0].encode("utf-8", "replace"), safe=""), made)


def _cut(text: str, size: int) -> str:
    return text.encode("utf-8", "replace")[:size].decode(errors="ignore")
