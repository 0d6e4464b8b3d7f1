"""What tests of the documentation share: its files, their tables, and the settings that one of them lists."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from pacifica_fs import config
from pacifica_fs.archives import local
from pacifica_fs.archives.ckan import options as ckan
from pacifica_fs.archives.djarchive import options as djarchive
from pacifica_fs.archives.mytardis import options as mytardis
from pacifica_fs.archives.pacifica import options as pacifica

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def document(name: str) -> str:
    """The text of a file in docs/."""
    return (DOCS / f"{name}.md").read_text()


def documents() -> list[Path]:
    """Everything that is written for users."""
    return [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


def rows(text: str) -> Iterator[list[str]]:
    """The cells of each row of each table, without headings' lines."""
    for line in text.splitlines():
        if line.startswith("|") and not line.startswith("|--"):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def section(text: str, heading: str) -> str:
    """From one heading to the next."""
    return re.split(r"^#+ ", text.split(f"{heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def tables_of() -> Mapping[str, type]:
    """Each table of a configuration, or kind of archive, by the name it has in the documentation."""
    return {
        "[cache]": config.CacheSettings,
        "[drop]": config.DropSettings,
        "[mount]": config.MountSettings,
        "[log]": config.LogSettings,
        "[metrics]": config.MetricsSettings,
        "[archives.NAME]": config.ArchiveSettings,
        "local": local.Options,
        "pacifica": pacifica.Options,
        "pacifica auth": config.Auth,
        "djarchive": djarchive.Options,
        "ckan": ckan.Options,
        "mytardis": mytardis.Options,
    }


def type_words(type: Any) -> str:
    """A type as the documentation says it."""
    simple = {str: "text", bool: "true or false", int: "number", config.Size: "size", config.Duration: "time"}
    if type in simple:
        return simple[type]
    origin = get_origin(type)
    if origin is Literal:
        return ", ".join(f'`"{each}"`' for each in get_args(type))
    if origin in (Union, types.UnionType):
        return " or ".join(type_words(each) for each in get_args(type) if each is not types.NoneType)
    if origin is tuple:
        return f"list of {type_words(get_args(type)[0])}s"
    if isinstance(type, msgspec.StructMeta) or origin is not None:
        return "table"
    raise AssertionError(f"no words for {type}")
