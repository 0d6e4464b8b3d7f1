"""Python values as TOML, as far as configurations need it (the standard library only reads)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def dump(tables: Mapping[str, Any]) -> str:
    """A TOML document; tables below the second level are written inline."""
    lines = [f"{_key(key)} = {_value(value)}" for key, value in tables.items() if not isinstance(value, Mapping)]
    for key, value in tables.items():
        if isinstance(value, Mapping):
            lines += _table((key,), value)
    return "\n".join(lines) + "\n"


def _table(path: tuple[str, ...], table: Mapping[str, Any]) -> list[str]:
    nested = len(path) == 1 and bool(table) and all(isinstance(value, Mapping) for value in table.values())
    if nested:
        return [line for key, value in table.items() for line in _table((*path, key), value)]
    rows = [f"{_key(key)} = {_value(value)}" for key, value in table.items()]
    return [f"\n[{'.'.join(map(_key, path))}]", *rows]


def _key(key: str) -> str:
    plain = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    return key if plain else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
