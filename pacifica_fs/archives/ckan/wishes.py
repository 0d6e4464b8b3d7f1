"""What a bundle's sidecars ask for, of each of its files: `Metadata` in, typed wishes or problems out. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from ...errors import PacificaFSError
from ...model import Bundle, BundleFile, Metadata, Problem
from . import rules
from .tables import FieldOption, Options
from .tables.types import check_option

PLAIN = (
    "dataset", "package", "org", "organisation", "name", "description", "format", "mode", "replace", "sheet",
    "encoding", "delimiter", "header",
)  # fmt: skip
STRUCTURED = ("create_dataset", "extras", "fields", "primary_key", "null_values")
FOLDER_ONLY = frozenset({"dataset", "package", "org", "organisation", "create_dataset"})
FILE_ONLY = frozenset({"name", "replace"})
RESERVED = frozenset({"id", "package_id", "url", "url_type", "upload", "name", "format", "description", "hash", "size"})

Mode = Literal["auto", "direct", "datapusher", "none"]


class Wish(msgspec.Struct, frozen=True):
    """What is wanted of one file. `replace`: the resource (by name or id) whose content it becomes; `true`: its own."""

    name: str = ""
    description: str = ""
    format: str = ""
    extras: Mapping[str, str] = {}
    mode: Mode | None = None
    replace: str = ""
    table: Options = Options()
    primary_key: tuple[str, ...] = ()


class Plan(msgspec.Struct, frozen=True):
    """What is wanted of a bundle: which package, and of each file by its path."""

    package: str
    organisation: str = ""
    create: Mapping[str, Any] | None = None
    files: Mapping[str, Wish] = {}
    problems: tuple[Problem, ...] = ()


class _Wrong(ValueError):
    pass


def plan(bundle: Bundle, organisation: str = "") -> Plan:
    """The wishes of all files of `bundle`; `organisation` is the configured default for a new package."""
    problems: list[Problem] = []
    fields = bundle.metadata.fields
    for key in sorted(set(fields) - {*PLAIN, *STRUCTURED, "submitter"}):
        problems.append(Problem(f"'{key}' is not known here", "Remove it; free pairs go below 'extras'."))
    if bundle.metadata.keys:
        problems.append(Problem("'keys' are not known here", "Free pairs go below 'extras'."))
    files: dict[str, Wish] = {}
    shared = {key: value for key, value in fields.items() if key not in FOLDER_ONLY}
    if len(bundle.files) > 1:
        for key in sorted(FILE_ONLY & set(shared)):
            if shared[key] != "true":
                problems.append(Problem(f"'{key}' is about one file", "Write it into FILE.metadata.json."))
    for file in bundle.files:
        own = bundle.each.get(file.path, Metadata())
        for key in sorted(FOLDER_ONLY & set(own.fields)):
            problems.append(Problem(f"'{key}' is about the package", "Write it into metadata.json.", file.path))
        try:
            files[file.path] = _wish(file, {**shared, **own.fields})
        except _Wrong as error:
            problems.append(Problem(str(error), "Correct the sidecar.", file.path))
    problems += [*rules.paths(bundle.files), *rules.names({path: wish.name for path, wish in files.items()})]
    if not bundle.files:
        try:
            _wish(None, shared)
        except _Wrong as error:
            problems.append(Problem(str(error), "Correct the sidecar."))
    create: Mapping[str, Any] | None = None
    try:
        create = _object(fields, "create_dataset") if "create_dataset" in fields else None
    except _Wrong as error:
        problems.append(Problem(str(error), "Correct the sidecar."))
    package = fields.get("dataset") or fields.get("package") or bundle.name.rpartition("/")[2]
    named = fields.get("org") or fields.get("organisation") or organisation
    return Plan(package, named, create, files, tuple(problems))


def _wish(file: BundleFile | None, fields: Mapping[str, str]) -> Wish:
    mode = fields.get("mode", "")
    if mode not in ("", "auto", "direct", "datapusher", "none"):
        raise _Wrong(f"'mode' is auto, direct, datapusher or none, not {mode!r}")
    header = fields.get("header", "")
    if header and not header.isdecimal():
        raise _Wrong(f"'header' is the number of a line, from 1, or 0 for none, not {header!r}")
    options = _list(fields, "fields")
    try:
        described = msgspec.convert(options, tuple[FieldOption, ...])
    except msgspec.ValidationError as error:
        raise _Wrong(f"'fields': {error}".replace("`", "'")) from error
    for option in described:
        try:
            check_option(option)
        except PacificaFSError as error:
            raise _Wrong(str(error)) from error
    extras = _object(fields, "extras")
    for key, value in extras.items():
        if key in RESERVED or key.startswith("pfs_") or isinstance(value, dict | list):
            raise _Wrong(f"'extras': '{key}' is reserved, or its value is no text")
    table = Options(
        sheet=fields.get("sheet") or None,
        encoding=fields.get("encoding", ""),
        delimiter=fields.get("delimiter", ""),
        header=int(header) if header else None,
        fields=described,
        null_values=tuple(map(str, _list(fields, "null_values"))),
    )
    return Wish(
        fields.get("name", "").strip() or (file.path if file else ""),
        fields.get("description", ""),
        fields.get("format", ""),
        {str(key): str(value) for key, value in extras.items()},
        mode or None,  # type: ignore[arg-type]
        fields.get("replace", "").strip().removeprefix("false"),
        table,
        tuple(map(str, _list(fields, "primary_key"))),
    )


def _value(fields: Mapping[str, str], key: str, wanted: str) -> Any:
    try:
        return json.loads(fields[key])
    except ValueError:
        raise _Wrong(f"'{key}' must be {wanted}") from None


def _list(fields: Mapping[str, str], key: str) -> list[Any]:
    found = _value(fields, key, "a list") if key in fields else []
    if not isinstance(found, list):
        raise _Wrong(f"'{key}' must be a list")
    return found


def _object(fields: Mapping[str, str], key: str) -> Mapping[str, Any]:
    found = _value(fields, key, "an object") if key in fields else {}
    if not isinstance(found, dict):
        raise _Wrong(f"'{key}' must be an object")
    return found
