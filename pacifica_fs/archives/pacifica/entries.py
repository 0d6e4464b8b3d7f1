"""`metadata.txt`: the list of entries that tells ingest what a bundle is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ...model import Bundle, BundleFile, Metadata

BUNDLE_KEY = "pacifica-fs.bundle"
TABLE = "destinationTable"
KEY_VALUE = "TransactionKeyValue"
HEADER = ("submitter", "project", "instrument")
OCTETS = "application/octet-stream"
# The types that ingest takes; multipart is refused through a misspelling of the server's.
_TYPES = ("application", "audio", "font", "example", "image", "message", "model", "text", "video")
# Entries that we make ourselves (of the files that are there) or that the sidecar's fields and keys are.
_OURS = frozenset({"Files", KEY_VALUE, *(f"Transactions.{name}" for name in HEADER)})


def header(fields: Mapping[str, str], submitter: int) -> list[dict[str, Any]]:
    """The three entries that policy judges."""
    instrument = fields["instrument"].strip()
    values: tuple[Any, ...] = (submitter, fields["project"].strip(), int(instrument))
    return [{TABLE: f"Transactions.{name}", "value": value} for name, value in zip(HEADER, values, strict=True)]


def keys(metadata: Metadata, bundle: str) -> list[dict[str, Any]]:
    """Key/values in their order, with the bundle's own id last."""
    pairs = (*metadata.keys, (BUNDLE_KEY, bundle))
    return [{TABLE: KEY_VALUE, "key": key, "value": value} for key, value in pairs]


def native(metadata: Metadata) -> list[dict[str, Any]]:
    """Entries of a native sidecar that are passed on as they are; ingest ignores what it does not know."""
    return [dict(entry) for entry in metadata.native if isinstance(entry.get(TABLE), str) and entry[TABLE] not in _OURS]


def file(entry: BundleFile) -> dict[str, Any]:
    """The entry of one file.

    Ingest takes one leading `data` off every subdir, so all get one: a real folder (or file) called `data` is then
    stored under its own name, which the official clients cannot do. Times are whole seconds, UTC.
    """
    folder, _, name = entry.path.rpartition("/")
    time = timestamp(entry.mtime_ns)
    return {
        TABLE: "Files",
        "name": name,
        "subdir": f"data/{folder}" if folder else "data",
        "size": entry.size,
        "hashtype": entry.digest.algorithm,
        "hashsum": entry.digest.value,
        "mimetype": mime_type(entry.mime_type),
        "mtime": time,
        "ctime": time,
    }


def document(bundle: Bundle, submitter: int) -> bytes:
    """All of `metadata.txt`; the same bytes for the same bundle."""
    entries: Sequence[Mapping[str, Any]] = [
        *header(bundle.metadata.fields, submitter),
        *keys(bundle.metadata, bundle.id),
        *native(bundle.metadata),
        *(file(entry) for entry in bundle.files),
    ]
    # A native entry may come from YAML, which has dates of its own.
    return json.dumps(entries, default=str).encode("ascii")


def mime_type(text: str) -> str:
    """`text` where ingest would take it (and the database has room), else the type of anything."""
    kind, slash, rest = text.partition("/")
    return text if slash and rest and kind in _TYPES and len(text) <= 255 and text.isascii() else OCTETS


def timestamp(ns: int) -> str:
    """Nanoseconds since the epoch as naive ISO in whole seconds, UTC; ValueError outside of the years 1 to 9999."""
    try:
        return datetime.fromtimestamp(ns // 10**9, UTC).replace(tzinfo=None).isoformat()
    except (OverflowError, OSError) as error:
        raise ValueError(f"not a time: {ns}") from error
