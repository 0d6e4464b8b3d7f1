"""CloudEvents of a site's notifications, and the transaction information of its metadata service, as events. Pure.

Notifications send the old form (`cloudEventsVersion` 0.1, `eventID`, `eventType`); 1.0 (`specversion`, `id`, `type`)
means the same. The data of an ingest event is the list that the uploader sent, its files with their ids.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from ...errors import BadAnswer, Invalid
from ...model import Event, FileRef
from . import rows

INGEST = "org.pacifica.metadata.ingest"
ID_LENGTH = 1024
_FIELDS = {
    "Transactions.project": "project",
    "Transactions.instrument": "instrument",
    "Transactions.submitter": "user",
}


def event(archive: str, data: bytes) -> Event:
    """The event of some JSON; Invalid says what is wrong with it."""
    value = _json(data, "this")
    if not isinstance(value, dict):
        raise Invalid("this is no event: a JSON object was expected")
    if "specversion" in value or "cloudEventsVersion" in value:
        return _cloud_event(archive, value)
    if isinstance(value.get("files"), dict) and ("transaction_id" in value or "_id" in value):
        return _transaction(archive, value)
    raise Invalid("this is neither a CloudEvent (specversion or cloudEventsVersion) nor a transaction's information")


def _cloud_event(archive: str, value: Mapping[str, Any]) -> Event:
    old = "specversion" not in value
    version = value["cloudEventsVersion" if old else "specversion"]
    if str(version) not in (("0.1",) if old else ("0.2", "0.3", "1.0")):
        raise Invalid(f"CloudEvents version {version!r} is not known; 0.1 and 1.0 are")
    id = _text(value, "eventID" if old else "id")
    type = _text(value, "eventType" if old else "type")
    source = _text(value, "source")
    time = rows.nanoseconds(value.get("eventTime" if old else "time"))
    if type != INGEST:
        return Event(id, mtime_ns=time, type=type)
    entries = _data(value)
    pairs: dict[str, str] = {}
    keys: list[tuple[str, str]] = []
    container = ""
    files: list[Mapping[str, Any]] = []
    for entry in entries:
        table = entry.get("destinationTable")
        if table == "Transactions._id":
            container = str(entry.get("value"))
        elif table in _FIELDS:
            pairs[_FIELDS[table]] = str(entry.get("value"))
        elif table == "TransactionKeyValue":
            keys.append((str(entry.get("key")), str(entry.get("value"))))
        elif table == "Files":
            files.append(entry)
    container = container or _of_source(source)
    if not rows.is_id(container):
        raise Invalid("the event names no transaction: an entry Transactions._id with its number was expected")
    return Event(id, container, _refs(archive, container, files), time, pairs, tuple(keys), type)


def _transaction(archive: str, value: Mapping[str, Any]) -> Event:
    id = str(value.get("transaction_id", value.get("_id")))
    if not rows.is_id(id):
        raise Invalid(f"{id!r} is not the number of a transaction")
    pairs = {
        name: str(found)
        for name, fields in {
            "project": ("project_id", "project"),
            "instrument": ("instrument_id", "instrument"),
            "user": ("submitter_id", "submitter"),
        }.items()
        if (found := next((value[field] for field in fields if value.get(field) is not None), None)) is not None
    }
    found = value.get("key_values")
    keys = tuple((str(key), str(each)) for key, each in found.items()) if isinstance(found, dict) else ()
    files = _refs(archive, id, value["files"].values())
    time = rows.nanoseconds(value.get("submitted") or value.get("created"))
    return Event(f"transaction.{id}", id, files, time, pairs, keys, "transaction information")


def _data(value: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    data = value.get("data")
    if data is None and isinstance(value.get("data_base64"), str):
        try:
            data = _json(base64.b64decode(value["data_base64"], validate=True), "data_base64")
        except binascii.Error as error:
            raise Invalid(f"data_base64 is not in base64: {error}") from error
    if isinstance(data, str):  # JSON in a string, as some brokers pass it on
        data = _json(data, "data")
    if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
        raise Invalid("data: a list of objects with destinationTable was expected, as ingest sends it")
    return data


def _refs(archive: str, container: str, files: Iterable[Any]) -> tuple[FileRef, ...]:
    try:
        found = rows.file_refs(archive, container, files)
    except (BadAnswer, AttributeError) as error:
        raise Invalid(f"a file of the event has no number (_id), name or size: {error}") from error
    for ref in found:
        if ref.digest is None:
            raise Invalid(f"{'/'.join(ref.parts)}: the event has no hashtype and hashsum of it")
    if len({ref.id for ref in found}) != len(found):
        raise Invalid("two files of the event have the same number (_id)")
    return found


def _of_source(source: str) -> str:
    """The transaction in `http://metadata.pacifica.org/transactions?_id=1047`."""
    try:
        return (parse_qs(urlsplit(source).query).get("_id") or [""])[0]
    except ValueError:
        return ""


def _json(data: bytes | str, what: str) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Invalid(f"{what} is not JSON: {error}") from error


def _text(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    if not isinstance(found, str) or not found or len(found) > ID_LENGTH:
        raise Invalid(f"{name}: a text of at most {ID_LENGTH} characters was expected, not {str(found)[:60]!r}")
    return found
