"""Rows of the API as this program's values. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from ...errors import BadAnswer
from ...model import UNKNOWN, Container, Digest, FileRef, Group
from . import naming
from .client import Row, id_of
from .times import first, nanoseconds

# What has its bytes at the archive's own download address.
OWN = frozenset({"", "file", "tardis", "http", "https"})
_EXPERIMENT = (
    "description institution_name created_time update_time start_time end_time handle url public_access license "
    "is_publication dataset_count datafile_count experiment_size"
)
_DATASET = "directory created_time modified_time immutable dataset_size dataset_datafile_count dataset_experiment_count"
_ACCESS = {1: "none", 25: "embargo", 50: "metadata only", 100: "full"}
Names = Mapping[str, Mapping[str, Any]]


class Making(msgspec.Struct, frozen=True):
    """What all rows are made with: the archive's name, the server's zone, how names look."""

    archive: str
    zone: ZoneInfo
    style: naming.Style


def group(row: Row, making: Making, names: Names) -> Group:
    """An experiment."""
    id = str(row["id"])
    title = str(row.get("title") or "")
    info = {
        "id": id,
        "title": title,
        **_some(row, _EXPERIMENT),
        "authors": [_author(each) for each in _list(row, "authors")],
        "parameter_sets": parameter_sets(row, names),
    }
    if "public_access" in info:
        info["public_access"] = _ACCESS.get(info["public_access"], info["public_access"])
    time = first(nanoseconds(row.get("update_time"), making.zone), nanoseconds(row.get("created_time"), making.zone))
    return Group(id, naming.label(title, id, making.style), time, info)


def container(row: Row, making: Making, names: Names) -> Container:
    """A data set."""
    id = str(row["id"])
    description = str(row.get("description") or "")
    instrument = row.get("instrument")
    info = {
        "description": description,
        **_some(row, _DATASET),
        "experiments": [id_of(uri) for uri in _list(row, "experiments")],
        "instrument": instrument.get("name") if isinstance(instrument, Mapping) else instrument,
        "parameter_sets": parameter_sets(row, names),
    }
    time = first(nanoseconds(row.get("modified_time"), making.zone), nanoseconds(row.get("created_time"), making.zone))
    return Container(making.archive, id, time, info, naming.label(description, id, making.style))


def file(row: Row, making: Making, dataset: str, dataset_time: int = 0) -> FileRef:
    """A file; of UNKNOWN size where the record has none. BadAnswer for a row without id or name."""
    try:
        # Releases before 4 give sizes as texts.
        id, size, filename = str(int(row["id"])), int(row.get("size") or 0), str(row["filename"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadAnswer(f"a file of data set {dataset} without id or name, or of a strange size: {error!r}") from error
    times = (nanoseconds(row.get(key), making.zone) for key in ("modification_time", "created_time"))
    md5, sha512 = str(row.get("md5sum") or "").lower(), str(row.get("sha512sum") or "").lower()
    digest = Digest("sha512", sha512) if sha512 else Digest("md5", md5) if md5 else None
    replica = chosen(row)
    verified = bool(replica and replica.get("verified"))
    extra = {
        "md5": md5,
        "sha512": sha512,
        "version": str(row.get("version") or ""),
        "verified": "yes" if verified else "no",
        "replica": str(replica["id"]) if replica and replica.get("id") is not None else "",
        "box": str((replica or {}).get("location") or ""),
    }
    protocol = str((replica or {}).get("protocol") or "")
    if protocol not in OWN:
        extra |= {"protocol": protocol, "url": str((replica or {}).get("url") or "")}
    return FileRef(
        making.archive,
        dataset,
        id,
        naming.parts(row.get("directory"), filename, making.style),
        max(size, 0) if row.get("size") not in (None, "") else UNKNOWN,
        first(*times, dataset_time),
        digest,
        # Without a digest, what the record says of its content pins it.
        None if digest else f"{size} {row.get('modification_time') or ''} {row.get('version') or ''}",
        str(row.get("mimetype") or "") or None,
        tuple((key, value) for key, value in extra.items() if value),
    )


def chosen(row: Row) -> Row | None:
    """The replica to read: a verified one, of the archive's own before others'."""
    replicas = [each for each in _list(row, "replicas") if isinstance(each, Mapping)]
    replicas.sort(key=lambda each: (not each.get("verified"), str(each.get("protocol") or "") not in OWN))
    return replicas[0] if replicas else None


def parameter_sets(row: Row, names: Names) -> list[dict[str, Any]]:
    """Parameter sets with the names, units and values of their parameters."""
    return [
        {
            "schema": _schema(each.get("schema")),
            "parameters": [_parameter(parameter, names) for parameter in _list(each, "parameters")],
        }
        for each in _list(row, "parameter_sets")
        if isinstance(each, Mapping)
    ]


def name_ids(rows: list[Row]) -> set[str]:
    """The ids of all parameter names that `rows` speak of."""
    found = {
        id_of(parameter.get("name"))
        for row in rows
        for each in _list(row, "parameter_sets")
        for parameter in _list(each, "parameters")
    }
    return found - {""}


def _parameter(row: Row, names: Names) -> dict[str, Any]:
    known = names.get(id_of(row.get("name")), {})
    values = (row.get(key) for key in ("numerical_value", "string_value", "datetime_value", "link_id", "value"))
    made = {
        "name": known.get("name") or str(row.get("name") or ""),
        "full_name": known.get("full_name"),
        "units": known.get("units"),
        "value": next((value for value in values if value is not None), None),
    }
    return {key: value for key, value in made.items() if value not in (None, "") or key in ("name", "value")}


def _schema(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {key: value[key] for key in ("name", "namespace") if value.get(key)}


def _author(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {key: each for key, each in value.items() if key in ("name", "url", "email", "institution") and each}


def _some(row: Row, keys: str) -> dict[str, Any]:
    return {key: row[key] for key in keys.split() if row.get(key) not in (None, "")}


def _list(row: Any, key: str) -> list[Any]:
    value = row.get(key) if isinstance(row, Mapping) else None
    return value if isinstance(value, list) else []
