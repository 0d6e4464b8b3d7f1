"""Documents beside folders: what is known about an entry as `NAME.json`, and the README in place of a listing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from .names import NAME_MAX, safe_name
from .virtual import FixedFile

JSON = ".json"
README = "README.txt"


def document_name(name: str) -> str:
    """What the document about the entry shown as `name` is called: as long a name as Linux takes."""
    return name + JSON if len(name) * 4 + len(JSON) <= NAME_MAX else safe_name(name + JSON)


def described(name: str, shown: Mapping[str, Any]) -> str | None:
    """The entry of `shown` about which `name` is the document; None if none."""
    if not name.endswith(JSON):
        return None
    stem = name.removesuffix(JSON)
    if stem in shown:
        return stem
    if len(name.encode("utf-8", "surrogateescape")) < NAME_MAX - len(JSON) * 4:
        return None
    return next((each for each in shown if document_name(each) == name), None)


def json_text(value: Mapping[str, Any]) -> bytes:
    """Indented JSON, UTF-8, with a line's end."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def readme(ino: int, *paragraphs: str) -> FixedFile:
    """The README of the folder with inode `ino`."""
    return FixedFile(("readme", str(ino)), "\n\n".join(filter(None, paragraphs)) + "\n")
