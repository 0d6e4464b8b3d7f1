"""How people name a bundle: NAME, ARCHIVE/NAME, its id, or a path below the mount's `drop/` or `status/uploads/`."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence

from .codes import Exit, Failed
from .find import real
from .outside import MountPoint
from .snapshot import Upload


def full(upload: Upload) -> str:
    """`ARCHIVE/NAME`."""
    return f"{upload.get('archive', '')}/{upload.get('name', '')}"


def choose(uploads: Sequence[Upload], text: str, mount: MountPoint | None = None) -> Upload:
    """The bundle that `text` names.

    Raises Failed: UNKNOWN_BUNDLE with similar names, or USAGE with the choice where there are several.
    """
    below = _below(text, mount)
    if below is None:
        plain = text.strip("/")
        exact = [upload for upload in uploads if plain in (full(upload), upload.get("id"))]
        matches = _newest(exact or [upload for upload in uploads if upload.get("name") == plain])
    else:
        # A path may lead further down, to a file in the bundle; the longest name that fits is meant.
        fitting = [upload for upload in uploads if f"{below}/".startswith(f"{full(upload)}/")]
        matches = sorted(_newest(fitting), key=lambda upload: -len(full(upload)))[:1]
    if len(matches) == 1:
        return matches[0]
    if matches:
        names = ", ".join(sorted(full(upload) for upload in matches))
        raise Failed(f"'{text}' may be {names}; write ARCHIVE/NAME", Exit.USAGE)
    raise Failed(f"there is no bundle '{text}'{_similar(uploads, below or text)}", Exit.UNKNOWN_BUNDLE)


def _newest(uploads: Sequence[Upload]) -> list[Upload]:
    """Of each name the newest bundle, by the time of its beginning; journals list the earlier ones too."""
    found: dict[str, Upload] = {}
    for upload in uploads:
        other = found.setdefault(full(upload), upload)
        if str(upload.get("created") or "") > str(other.get("created") or ""):
            found[full(upload)] = upload
    return list(found.values())


def _below(text: str, mount: MountPoint | None) -> str | None:
    """`ARCHIVE/NAME/…` if `text` is a path below drop/ or status/uploads/, else None."""
    if mount is not None and (text.startswith(("/", ".", "~")) or "/" in text):
        path = str(real(text))
        for folder in ("drop", "status/uploads"):
            start = f"{mount.path}/{folder}/"
            if path.startswith(start):
                return path[len(start) :]
    if text.startswith(("/", "./", "../", "~")):
        path = os.path.abspath(os.path.expanduser(text))
        for folder in ("/drop/", "/status/uploads/"):
            head, found, rest = path.partition(folder)
            if found and head:
                return rest
    return None


def _similar(uploads: Sequence[Upload], text: str) -> str:
    names = {name: full(upload) for upload in uploads for name in (str(upload.get("name")), full(upload))}
    close = sorted({names[name] for name in difflib.get_close_matches(text, names, 3)})
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return "; `pacifica-fs status` lists them" if uploads else "; there are no bundles at all"
