"""`transaction.json`: what is known about a transaction, readable by anybody who finds it.

Times are UTC: `submitted` in ISO 8601, `mtime_ns` in nanoseconds since 1970-01-01. `size` is bytes, a digest
`ALGORITHM:HEX`, a path relative to the folder `files` beside it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from ...errors import BadAnswer
from ...model import Bundle, Digest, FileRef
from .folder import ArchiveFolder

T = TypeVar("T")

NAME = "transaction.json"
FILES = "files"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class StoredFile(msgspec.Struct, frozen=True, gc=False):
    """One file, as the JSON has it."""

    path: str
    size: int
    mtime_ns: int
    digest: str
    mimetype: str = "application/octet-stream"


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """All of a transaction but its files; `count` and `size` are of all files."""

    id: str
    bundle: str = ""
    name: str = ""
    submitter: str = ""
    project: str = ""
    instrument: str = ""
    fields: dict[str, str] = {}
    keys: list[tuple[str, str]] = []
    native: list[dict[str, Any]] = []
    submitted: datetime = _EPOCH
    count: int = 0
    size: int = 0

    @property
    def submitted_ns(self) -> int:
        """When it was published, in nanoseconds since the epoch, to the microsecond."""
        when = self.submitted if self.submitted.tzinfo else self.submitted.replace(tzinfo=UTC)
        passed = when - _EPOCH
        return ((passed.days * 86400 + passed.seconds) * 1_000_000 + passed.microseconds) * 1000


class Record(Header, frozen=True, kw_only=True):
    """A whole transaction."""

    files: list[StoredFile] = []


def record(bundle: Bundle, id: str, submitter: str, now: float) -> Record:
    """What `bundle` becomes, published as `id` at `now` (seconds since the epoch); `submitter` where it names none."""
    fields = dict(bundle.metadata.fields)
    return Record(
        id=id,
        bundle=bundle.id,
        name=bundle.name,
        submitter=fields.pop("submitter", "") or submitter,
        project=fields.pop("project", ""),
        instrument=fields.pop("instrument", ""),
        fields=fields,
        keys=list(bundle.metadata.keys),
        native=[dict(entry) for entry in bundle.metadata.native],
        submitted=datetime.fromtimestamp(now, UTC),
        count=len(bundle.files),
        size=bundle.size,
        files=[StoredFile(f.path, f.size, f.mtime_ns, str(f.digest), f.mime_type) for f in bundle.files],
    )


def encode(value: Record) -> bytes:
    """The JSON text, indented. TypeError or UnicodeEncodeError where metadata cannot be JSON."""
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"


def decode(data: bytes, type: type[T], source: str) -> T:
    """A Header or Record from JSON; BadAnswer, naming `source`, where it is neither."""
    try:
        return msgspec.json.decode(data, type=type)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadAnswer(f"{source} was changed by hand or is damaged: {error}") from error


def load(folder: ArchiveFolder, id: str, type: type[T]) -> T:
    """The Header or Record of transaction `id`. NotFound, Unreachable, BadAnswer."""
    descriptor = folder.open_below(id, NAME)
    source = str(folder.transactions / id / NAME)
    with folder.errors(f"{source} cannot be read"), open(descriptor, "rb") as stream:
        data = stream.read()
    return decode(data, type, source)


def references(archive: str, container: str, record: Record) -> tuple[FileRef, ...]:
    """The files of a record as the rest of the program knows them; a file's id is `CONTAINER-NUMBER`, from 1."""
    try:
        return tuple(
            FileRef(
                archive,
                container,
                f"{container}-{number}",
                tuple(file.path.split("/")),
                file.size,
                file.mtime_ns,
                Digest.parse(file.digest),
                None,
                file.mimetype,
            )
            for number, file in enumerate(record.files, 1)
        )
    except ValueError as error:
        raise BadAnswer(f"transaction {container} was changed by hand or is damaged: {error}") from error
