"""What a sidecar says: bytes in, `Metadata` or problems in plain words out. Pure, and it never raises.

Two forms are understood, in JSON or YAML. The native form is the list that Pacifica's uploader makes
(`[{"destinationTable": "Transactions.project", "value": "1234a"}, …]`); the short form is an object
(`{"project": "1234a", "instrument": 54, "keys": {"Tag": ["first", "second"]}, "files": ["a.dat"]}`). A file with
neither form is data. Numbers stay the text that was written: `0123` and `1e5` are names here, not quantities.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec
import yaml

from ..model import Metadata, Problem

FIELDS = frozenset({"submitter", "project", "instrument"})
"""Fields that are known unless a kind of archive says otherwise."""

LIMIT = 4 << 20
_PARTS = ("keys", "files")
_TABLE = "destinationTable"


class Reading(msgspec.Struct, frozen=True):
    """What came of a file with a sidecar's name: metadata, or problems, or neither (`metadata` None): it is data."""

    metadata: Metadata | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def data(self) -> bool:
        """True for a file that only has the name."""
        return self.metadata is None and not self.problems


def read(
    content: bytes, name: str, known: Collection[str] = FIELDS, structured: Collection[str] = frozenset()
) -> Reading:
    """Read the sidecar `name`; `known` are the field names that this kind of archive has.

    Fields of `structured` may be lists or objects: they are kept as JSON text.
    """
    if b"\0" in content[:4096]:
        return Reading()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return Reading()
    if len(content) > LIMIT:
        return _refused(name, f"{name} is larger than {LIMIT >> 20} MiB", "A sidecar is a few lines of text.")
    if not text.strip():
        return _refused(name, f"{name} is empty", "Write the metadata into it, or remove it.")
    try:
        value = _json(text) if name.endswith(".json") else _yaml(text)
    except _Wrong as error:
        return _refused(name, f"{name}: {error}", "Correct the line and save the file again.")
    except RecursionError:
        return Reading()
    reader = _Reader(name, text, known, structured)
    if isinstance(value, list) and (not value or any(isinstance(e, dict) and _TABLE in e for e in value)):
        metadata = reader.native(value)
    elif isinstance(value, dict) and reader.is_short(value):
        metadata = reader.short(value)
    else:
        return Reading()
    if _halved(value):
        words = f"{name} has half of a character (such as \\ud800), which no archive takes"
        return _refused(name, words, "Correct it and save the file again.")
    return Reading(None, tuple(reader.problems)) if reader.problems else Reading(metadata)


def _halved(value: object) -> bool:
    """True if there is a surrogate in it: JSON and YAML can write what is no text."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    except (TypeError, ValueError):
        return False
    return False


def with_defaults(metadata: Metadata, defaults: Mapping[str, Any]) -> Metadata:
    """`metadata` with what it leaves out taken from the archive's configured defaults."""
    fields = {key: _text(value) or "" for key, value in defaults.items() if key not in _PARTS}
    fields.update({key: value for key, value in metadata.fields.items() if value})
    have = {key for key, _ in metadata.keys}
    more: list[tuple[str, str]] = []
    preset = defaults.get("keys")
    for key, value in preset.items() if isinstance(preset, Mapping) else ():
        if key not in have:
            more += [(str(key), _text(one) or "") for one in (value if isinstance(value, list | tuple) else [value])]
    return Metadata(fields, (*metadata.keys, *more), metadata.native, metadata.files)


class _Wrong(ValueError):
    """The text cannot be parsed; the message says where."""


class _Twice(dict[str, Any]):
    """An object with the names that stand in it more than once."""

    twice: tuple[str, ...] = ()


def _pairs(pairs: list[tuple[str, Any]]) -> _Twice:
    result = _Twice(pairs)
    if len(result) < len(pairs):
        names = [key for key, _ in pairs]
        result.twice = tuple(dict.fromkeys(key for key in names if names.count(key) > 1))
    return result


def _json(text: str) -> Any:
    try:
        return json.loads(text, parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=_pairs)
    except json.JSONDecodeError as error:
        raise _Wrong(f"not valid JSON, line {error.lineno}, column {error.colno}: {error.msg.lower()}") from error


class _Loader(yaml.BaseLoader):
    """BaseLoader makes text of every scalar and nothing else, so it is safe and damages no number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        pairs = [(self.construct_object(key, True), self.construct_object(value, True)) for key, value in node.value]
        if not all(isinstance(key, str) for key, _ in pairs):
            raise yaml.constructor.ConstructorError(None, None, "a name must be text", node.start_mark)
        return _pairs(pairs)


def _null(loader: yaml.BaseLoader, node: yaml.Node) -> Any:
    plain = isinstance(node, yaml.ScalarNode) and node.style is None and node.value in ("", "~", "null")
    return None if plain else node.value


_Loader.add_constructor("tag:yaml.org,2002:str", _null)


def _yaml(text: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        begun = error.context_mark
        if begun and mark and begun.line != mark.line:
            where += f" (it begins in line {begun.line + 1})"
        raise _Wrong(f"not valid YAML{where}: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise _Wrong(f"not valid YAML: {str(error).splitlines()[0]}") from error


def _text(value: object) -> str | None:
    """A scalar as the text that was written; None for what is no scalar."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) else None


def _refused(name: str, what: str, remedy: str) -> Reading:
    return Reading(None, (Problem(what, remedy, name),))


class _Reader:
    """Collects problems while it turns parsed values into Metadata."""

    def __init__(self, name: str, text: str, known: Collection[str], structured: Collection[str]) -> None:
        self.name = name
        self.structured = structured
        self.lines = text.splitlines()
        self.known = sorted({*known, *_PARTS})
        self.problems: list[Problem] = []

    def wrong(self, what: str, remedy: str, near: str = "") -> None:
        """One more problem, with the first line that has the word `near`."""
        word = re.compile(rf"(?<!\w){re.escape(near)}(?!\w)")
        line = next((i for i, text in enumerate(self.lines, 1) if word.search(text)), 0) if near else 0
        where = f"{self.name}, line {line}" if line else self.name
        self.problems.append(Problem(f"{where}: {what}", remedy, self.name))

    def is_short(self, value: Mapping[str, Any]) -> bool:
        return not value or any(key in self.known or self.close(key) for key in value)

    def close(self, key: str) -> str:
        found = difflib.get_close_matches(key.lower(), self.known, 1, 0.75)
        return found[0] if found else ""

    def short(self, value: Mapping[str, Any]) -> Metadata:
        self.once(value, "the last one would silently win; write it once")
        fields: dict[str, str] = {}
        for key, content in value.items():
            if key in _PARTS:
                continue
            if key not in self.known:
                hint = self.close(key)
                remedy = f"Did you mean '{hint}'?" if hint else f"Known are: {', '.join(self.known)}."
                self.wrong(f"'{key}' is not known here", f"{remedy} Free pairs go below 'keys'.", key)
            elif content is not None:
                self.field(fields, key, content)
        return Metadata(fields, self.keys(value.get("keys")), (), self.files(value.get("files")))

    def field(self, fields: dict[str, str], key: str, content: object) -> None:
        text = _text(content)
        if text is None and key in self.structured:
            text = json.dumps(content, ensure_ascii=False)
        if text is None:
            self.wrong(f"'{key}' must be one value, not a list or an object", f'Write "{key}": "…".', key)
        elif fields.setdefault(key, text) != text:
            self.wrong(f"'{key}' is given twice: {fields[key]!r} and {text!r}", "Keep one of them.", key)

    def keys(self, value: object) -> tuple[tuple[str, str], ...]:
        if value is None:
            return ()
        if not isinstance(value, dict):
            self.wrong("'keys' must be an object of names and values", 'Write "keys": {"Tag": "first"}.', "keys")
            return ()
        self.once(value, "give several values as a list")
        pairs: list[tuple[str, str]] = []
        for key, content in value.items():
            for one in content if isinstance(content, list) else [content]:
                text = "" if one is None else _text(one)
                if text is None:
                    self.wrong(f"the value of '{key}' must be text or a list of texts", "Write it as text.", key)
                else:
                    pairs.append((key, text))
        return tuple(pairs)

    def files(self, value: object) -> tuple[str, ...] | None:
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(one, str) and one.strip("/") for one in value):
            self.wrong("'files' must be a list of paths", 'Write "files": ["a.dat", "sub/b.dat"].', "files")
            return None
        paths = tuple("/".join(part for part in one.split("/") if part not in ("", ".")) for one in value)
        for path in paths:
            if ".." in path.split("/"):
                self.wrong(f"'{path}' in 'files' leads out of the folder", "Name files of this folder.", path)
        return tuple(dict.fromkeys(paths))

    def native(self, entries: Iterable[object]) -> Metadata:
        fields: dict[str, str] = {}
        keys: list[tuple[str, str]] = []
        others: list[Mapping[str, Any]] = []
        for number, entry in enumerate(entries, 1):
            table = entry.get(_TABLE) if isinstance(entry, dict) else None
            if not isinstance(entry, dict) or not isinstance(table, str):
                self.wrong(f"entry {number} of the list has no '{_TABLE}'", f"Give it a '{_TABLE}', or remove it.")
            elif table == "TransactionKeyValue":
                self.pair(keys, number, entry)
            elif table.startswith("Transactions.") and entry.get("value") not in (None, ""):
                self.field(fields, table.partition(".")[2], entry["value"])
            else:
                others.append(dict(entry))
        return Metadata(fields, tuple(keys), tuple(others))

    def pair(self, keys: list[tuple[str, str]], number: int, entry: Mapping[str, Any]) -> None:
        key, value = _text(entry.get("key")), _text(entry.get("value"))
        if not key or value is None:
            self.wrong(f"entry {number} needs a 'key' and a 'value', both text", "Complete it, or remove it.")
        else:
            keys.append((key, value))

    def once(self, value: Mapping[str, Any], remedy: str) -> None:
        for key in getattr(value, "twice", ()):
            self.wrong(f"'{key}' is there twice", f"{remedy[0].upper()}{remedy[1:]}.", key)
