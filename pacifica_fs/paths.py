"""What no file system takes as the path of a file. Pure."""

from __future__ import annotations

NAME_MAX = 255
"""Bytes of one name (Linux)."""


def unfit(path: str) -> str:
    """Why the relative `path` can be no file's, in words that follow "…: "; "" if it can."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "its name is not valid UTF-8"
    if "\0" in path:
        return "its name holds a NUL character"
    for part in path.split("/"):
        if part in ("", ".", ".."):
            return f"'{part}' is no name of a file or folder"
        if len(part.encode()) > NAME_MAX:
            return f"a name has more than {NAME_MAX} bytes"
    return ""
