"""CKAN's dictionaries as this program's values. Pure; nothing that a site sends raises anything but BadAnswer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from ...errors import BadAnswer
from ...model import UNKNOWN, Container, FileRef

NAME = re.compile(r"[a-z0-9_-]{2,100}").fullmatch
"""What a package or an organisation can be called; their ids fit it, too."""
TABLES = ".datastore"
TABLE_ONLY = "datastore"
BUNDLE, PATH, SHA = "pfs_bundle", "pfs_path", "pfs_sha256"
"""What an upload notes among the extras of its resource."""


def container(archive: str, package: Mapping[str, Any]) -> Container:
    """A package; `info` is all of it but what is asked for by itself."""
    try:
        id, name = str(package["id"]), str(package["name"])
    except KeyError as error:
        raise BadAnswer(f"a package without {error}") from error
    mtime = time_ns(package.get("metadata_modified"))
    info = {"package": package, "organisation": organisation(package)}
    return Container(archive, id, mtime, info, label=name)


def organisation(package: Mapping[str, Any]) -> str:
    """The name of a package's organisation; empty if it has none."""
    found = package.get("organization")
    return str(found.get("name") or "") if isinstance(found, Mapping) else ""


def resources(package: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The resources of a package, those with an id."""
    found = package.get("resources")
    return [one for one in found if isinstance(one, Mapping) and one.get("id")] if isinstance(found, list) else []


def name_of(resource: Mapping[str, Any]) -> str:
    """What a resource is called: its name, else the last part of its address, else its id."""
    address = unquote(urlsplit(str(resource.get("url") or "")).path).rstrip("/").rpartition("/")[2]
    return str(resource.get("name") or "").strip() or address or str(resource["id"])


def is_upload(resource: Mapping[str, Any]) -> bool:
    """True for a file that the site keeps itself."""
    return resource.get("url_type") == "upload"


def is_link(resource: Mapping[str, Any]) -> bool:
    """True for an address elsewhere."""
    return not resource.get("url_type") and bool(resource.get("url"))


def validator(resource: Mapping[str, Any]) -> str:
    """What changes when a resource's content does."""
    return str(resource.get("last_modified") or resource.get("metadata_modified") or resource.get("created") or "")


def file(archive: str, package: str, resource: Mapping[str, Any], size: int, pin: str = "") -> FileRef:
    """A resource as a file of `size` bytes (or UNKNOWN); `pin` is its ETag where that is known."""
    extra = [("url", str(resource.get("url") or "")), ("url_type", str(resource.get("url_type") or ""))]
    if pin:
        extra.append(("etag", pin))
    return FileRef(
        archive,
        package,
        str(resource["id"]),
        _parts(resource),
        size,
        time_ns(resource.get("last_modified") or resource.get("created")),
        validator=pin or validator(resource),
        mime_type=str(resource.get("mimetype") or "") or None,
        extra=tuple(extra),
    )


def _parts(resource: Mapping[str, Any]) -> tuple[str, ...]:
    """Where a resource is in its package: by its name, or in the folders that it was dropped in."""
    name = name_of(resource)
    return tuple(name.split("/")) if name == resource.get(PATH) else (name,)


def tables(archive: str, package: str, resource: Mapping[str, Any]) -> Iterator[FileRef]:
    """What the DataStore has of a resource, made when it is read: the dump and the schema."""
    if not resource.get("datastore_active"):
        return
    id, name = str(resource["id"]), name_of(resource)
    stem = name[:-4] if name.lower().endswith(".csv") else name
    mtime = time_ns(resource.get("last_modified") or resource.get("metadata_modified") or resource.get("created"))
    for kind, ending, mime in (("dump", ".csv", "text/csv"), ("schema", ".schema.json", "application/json")):
        parts = (TABLES, f"{stem}{ending}")
        yield FileRef(archive, package, f"{id}/{kind}", parts, UNKNOWN, mtime, mime_type=mime, extra=(("made", kind),))


def time_ns(text: object) -> int:
    """CKAN's times are UTC, without saying so; 0 for none."""
    if not isinstance(text, str) or not text:
        return 0
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return 0
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found
    return int(found.timestamp() * 1_000_000) * 1000
