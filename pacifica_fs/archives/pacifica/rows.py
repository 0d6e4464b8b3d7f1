"""The metadata service's rows as our values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from ...errors import BadAnswer
from ...model import Container, Digest, FileRef, Group

_ID = re.compile(r"[1-9][0-9]{0,17}|0")


def is_id(text: str) -> bool:
    """True for what can be the id of a transaction; services answer 500 for anything else."""
    return _ID.fullmatch(text) is not None


def nanoseconds(text: object) -> int:
    """A naive ISO time in UTC, as all of Pacifica writes it, since the epoch; 0 for none."""
    if not isinstance(text, str) or not text:
        return 0
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return 0
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return int(time.timestamp()) * 10**9 + time.microsecond * 1000


def container(archive: str, row: Mapping[str, Any]) -> Container:
    """A `transsip` row, or a search result's `metadata`, as a Container without info."""
    number = row.get("_id", row.get("transaction_id"))
    if type(number) is not int:
        raise BadAnswer(f"a transaction without an id was listed: {str(row)[:200]}")
    return Container(archive, str(number), nanoseconds(row.get("created") or row.get("submitted")))


def time(row: Mapping[str, Any]) -> datetime | None:
    """When a transaction was submitted, by its row: naive, UTC; None where the row does not say."""
    text = row.get("created") or row.get("submitted")
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None) if isinstance(text, str) else None
    except ValueError:
        return None


def project(row: Mapping[str, Any]) -> Group:
    """A `projects` row of metadata's or policy's, or a status entry of policy's, with what `ID.json` shows."""
    id = row.get("_id", row.get("id"))
    if not isinstance(id, str) or not id:
        raise BadAnswer(f"a project without an id was listed: {str(row)[:200]}")
    info = {
        "project": id,
        "title": row.get("title"),
        "short_name": row.get("short_name"),
        "type": row.get("project_type"),
        "accepted": row.get("accepted_date"),
        "started": row.get("actual_start_date"),
        "ends": row.get("actual_end_date"),
        "closed": row.get("closed_date"),
    }
    return Group(id, mtime_ns=nanoseconds(row.get("updated")), info={k: v for k, v in info.items() if v})


def instrument(row: Mapping[str, Any]) -> Group:
    """An `instruments` row, with what `ID.json` shows."""
    id = row.get("_id", row.get("id"))
    if type(id) is not int:
        raise BadAnswer(f"an instrument without a number was listed: {str(row)[:200]}")
    info = {
        "instrument": id,
        "name": row.get("name"),
        "short_name": row.get("name_short"),
        "title": row.get("display_name"),
        "active": row.get("active"),
    }
    shown = {key: value for key, value in info.items() if value is not None}
    return Group(str(id), mtime_ns=nanoseconds(row.get("updated")), info=shown)


def user(row: Mapping[str, Any]) -> Group:
    """A `users` row; called by its login name, or by its number where it has none."""
    id = row.get("_id", row.get("person_id"))
    if type(id) is not int:
        raise BadAnswer(f"a user without a number was listed: {str(row)[:200]}")
    login = row.get("network_id") or ""
    name = " ".join(filter(None, (row.get("first_name"), row.get("middle_initial"), row.get("last_name"))))
    info = {"user": id, "login": login, "name": name}
    shown = {key: value for key, value in info.items() if value}
    return Group(str(login or id), mtime_ns=nanoseconds(row.get("updated")), info=shown)


def file_ref(archive: str, transaction: str, row: Mapping[str, Any]) -> FileRef:
    """A `files` row as a FileRef. Size and digest are as claimed; the components of the path are raw."""
    number, name, size = row.get("_id"), row.get("name"), row.get("size")
    # `true` is an int to Python, but neither an id nor a size.
    if type(number) is not int or not isinstance(name, str) or type(size) is not int or size < 0:
        raise BadAnswer(f"transaction {transaction} lists a file without id, name or size: {str(row)[:200]}")
    folders = [part for part in str(row.get("subdir") or "").split("/") if part]
    kind, value = row.get("hashtype"), row.get("hashsum")
    digest = Digest(kind.lower(), value.lower()) if isinstance(kind, str) and isinstance(value, str) and value else None
    return FileRef(
        archive=archive,
        container=transaction,
        id=str(number),
        parts=(*folders, name),
        size=size,
        mtime_ns=nanoseconds(row.get("mtime")) or nanoseconds(row.get("created")),
        digest=digest,
        mime_type=row.get("mimetype") or None,
    )


def file_refs(archive: str, transaction: str, rows: Iterable[Mapping[str, Any]]) -> tuple[FileRef, ...]:
    """All rows of a transaction, in the order of their paths, then ids."""
    refs = [file_ref(archive, transaction, row) for row in rows]
    return tuple(sorted(refs, key=lambda ref: (ref.parts, int(ref.id))))


def info(row: Mapping[str, Any], keys: Iterable[tuple[str, str]], release: Mapping[str, Any]) -> dict[str, Any]:
    """What `ID.json` shows of a transaction, from its detailed row.

    `keys`: a key with one value maps to it, one with several to the list of them. `release`: the metadata service's
    release state with DOIs, or nothing where that is not configured. Times are UTC with a `Z`.
    """
    files = row.get("files") or {}
    shown: dict[str, Any] = {
        "transaction": row.get("_id", row.get("transaction_id")),
        "submitter": row.get("submitter_id", row.get("submitter")),
        "submitter_name": row.get("submitter_name"),
        "project": row.get("project_id", row.get("project")),
        "project_title": row.get("project_name"),
        "instrument": row.get("instrument_id", row.get("instrument")),
        "instrument_name": row.get("instrument_name"),
        "keys": _grouped(keys),
        "submitted": _zulu(row.get("submitted") or row.get("created")),
        "updated": _zulu(row.get("updated")),
        "release_state": release.get("release_state", row.get("release_state")),
        "release_date": _zulu(release.get("release_date", row.get("release_date"))),
        "file_count": len(files) if files else len(row.get("file_ids") or ()),
        "size": sum(file.get("size") or 0 for file in files.values()),
    }
    entries = release.get("release_doi_entries") or ()
    if entries:
        shown["doi"] = [
            {"doi": entry.get("doi_reference"), "status": entry.get("doi_status"), "url": entry.get("site_url")}
            for entry in entries
        ]
    return shown


def _grouped(keys: Iterable[tuple[str, str]]) -> dict[str, str | list[str]]:
    values: dict[str, list[str]] = {}
    for key, value in keys:
        values.setdefault(key, []).append(value)
    return {key: found[0] if len(found) == 1 else found for key, found in values.items()}


def _zulu(text: object) -> str | None:
    return f"{text}Z" if isinstance(text, str) and text else None
