"""Which folder below `drop/ARCHIVE/` is a bundle, and what its name says of the metadata. Pure.

`"{name}"`: every folder. `"{project}/{name}"`: every folder in a folder of a project. A placeholder other than `name`
is a field of the metadata; text around placeholders must be there as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from ..errors import ConfigError
from ..model import Metadata, Problem

NAME = "name"
DEFAULT = "{name}"
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Layout(msgspec.Struct, frozen=True):
    """`levels` are the folders' names, the last of them the bundle's."""

    levels: tuple[str, ...]

    @classmethod
    def parse(cls, text: str, where: str) -> Layout:
        """`text` as the configuration has it; ConfigError says what is wrong at `where`."""
        levels = tuple(text.strip("/").split("/"))
        found = _PLACEHOLDER.findall(text)
        wrong = ""
        if not all(_PLACEHOLDER.search(level) for level in levels):
            wrong = "each level needs a placeholder"
        elif len(set(found)) < len(found):
            wrong = "a placeholder is there twice"
        elif re.search(r"[{}]", _PLACEHOLDER.sub("", text)):
            wrong = "a brace is not closed"
        elif "}{" in text:
            wrong = "two placeholders need something between them"
        if wrong:
            raise ConfigError(f'{where}: a layout like "{{project}}/{{name}}" was expected, not {text!r}: {wrong}')
        return cls(levels)

    @property
    def depth(self) -> int:
        """How many folders below `drop/ARCHIVE/` the bundle's is; 1 is directly in it."""
        return len(self.levels)

    def fields(self, parts: Sequence[str]) -> dict[str, str] | None:
        """The metadata that the first folders' names `parts` say; None if they do not fit."""
        found: dict[str, str] = {}
        for level, part in zip(self.levels, parts, strict=False):
            match = _pattern(level).fullmatch(part)
            if match is None:
                return None
            found.update(match.groupdict())
        found.pop(NAME, None)
        return found

    def contradictions(self, name: str, said: Metadata | None) -> tuple[Problem, ...]:
        """Where the sidecar says something else than the folder `name` of the bundle."""
        if said is None:
            return ()
        return tuple(
            Problem(
                f"the folder {name} is for {field} {value}, but the sidecar says {field} {said.fields[field]}",
                "Move the folder, or correct the sidecar.",
            )
            for field, value in (self.fields(name.split("/")) or {}).items()
            if said.fields.get(field, value) != value
        )

    def merged(self, name: str, defaults: Mapping[str, object]) -> Mapping[str, object]:
        """The archive's defaults with what the bundle's folder says on top."""
        return {**defaults, **(self.fields(name.split("/")) or {})}


def _pattern(level: str) -> re.Pattern[str]:
    parts = _PLACEHOLDER.split(level)
    text = "".join(f"(?P<{part}>.+?)" if odd % 2 else re.escape(part) for odd, part in enumerate(parts))
    return re.compile(text, re.DOTALL)
