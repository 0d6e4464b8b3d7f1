"""A table into a resource's DataStore: as a whole, or what was there before is there again.

`push` replaces. Before anything is deleted, what is there is saved in a file of its own (the *keepsake*), which stays
until the new table is verified or the old one restored: a push that was broken off, by whatever, is taken up by calling
`push` again, or undone by `restore`. Rows go in file order, one call after the other; after a call whose answer was
lost the table's own count says whether it happened.

Independent of where the table comes from: see `tables`. Threading: one push of a resource at a time; any thread.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ...clock import Clock
from ...errors import BadAnswer, NotFound, PacificaFSError, Unreachable
from .api import Api, Refused
from .tables import BadTable, FieldOption, Interrupted, Table
from .tables.types import Value

log = logging.getLogger(__name__)

FIRST = 20_000
"""Rows of the call that makes a table: no index is kept up to date for those."""
ROWS = 5000
"""Rows of one of the further calls; the site's time for a row is the same from some hundreds on."""
BYTES = 4 << 20
"""About the most bytes of one call."""
PATIENCE = 600.0
"""Seconds for which an outage in the middle of a push is waited for, before it is left for the next call."""
_PAUSE = 2.0
_PAGE = 10_000
_TWICE = "23505"
"""PostgreSQL's code for what should be unique and is not."""

Progress = Callable[[int], None]
Rows = Iterable[Sequence[Value]]
_NATIVE = {"int4": "int", "int8": "bigint", "float8": "float"}


class Info(msgspec.Struct, frozen=True):
    """A table as the site has it: `fields` are CKAN's entries (`id`, `type`, `info`) without those of CKAN itself."""

    count: int
    fields: tuple[Mapping[str, Any], ...]
    aliases: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()

    @property
    def types(self) -> dict[str, str]:
        """Type by name."""
        return {field["id"]: _NATIVE.get(field["type"], field["type"]) for field in self.fields}

    @property
    def overrides(self) -> tuple[FieldOption, ...]:
        """The types that somebody chose in CKAN's data dictionary."""
        chosen = {field["id"]: (field.get("info") or {}).get("type_override") for field in self.fields}
        return tuple(FieldOption(id, type=type) for id, type in chosen.items() if type)


class DataStore:
    """The DataStore of one site. `keep` is the folder for keepsakes; it must outlive the program."""

    def __init__(
        self,
        api: Api,
        keep: Path,
        clock: Clock,
        first: int = FIRST,
        rows: int = ROWS,
        patience: float = PATIENCE,
    ) -> None:
        self._api, self._keep, self._clock = api, keep, clock
        self._first, self._rows, self._patience = first, rows, patience

    def info(self, resource: str) -> Info | None:
        """The table of a resource; None if it has none. The count is exact."""
        try:
            found = self._api.read("datastore_info", id=resource)
        except NotFound:
            return None
        try:
            fields = [field for field in found["fields"] if not field["id"].startswith("_")]
            indexes = tuple(field["id"] for field in fields if (field.get("schema") or {}).get("is_index"))
            meta = found["meta"]
            return Info(int(meta["count"]), tuple(map(_plain, fields)), tuple(meta.get("aliases") or ()), indexes)
        except (KeyError, TypeError, ValueError) as error:
            raise BadAnswer(f"datastore_info of {resource}: not what was expected: {error!r}") from error

    def push(
        self,
        resource: str,
        table: Table,
        *,
        primary_key: Sequence[str] = (),
        progress: Progress = lambda rows: None,
        go_on: Callable[[], bool] = lambda: True,
    ) -> Info:
        """Make `table` the table of `resource`; what the site then has, verified against it.

        `progress` is called with the rows stored so far. Labels and notes of columns that stay are kept. After
        Refused, BadTable, BadAnswer or Denied the former table is there again (or none, as before). After Unreachable
        (an outage longer than `patience`) and Interrupted (`go_on()` was false) the push is open: call it again.
        """
        old = self.begin(resource)
        try:
            self._replace(resource, table, old, primary_key, progress, go_on)
            found = self.info(resource)
            wrong = differences(table, found)
            if wrong or found is None:
                raise BadAnswer(f"the table is not what was sent: {'; '.join(wrong)}")
        except (Unreachable, Interrupted):
            raise
        except PacificaFSError:
            self.restore(resource)
            raise
        self.finish(resource)
        return found

    def finish(self, resource: str) -> None:
        """The new table is the right one, whoever wrote it: forget the former one."""
        self._keepsake(resource).unlink(missing_ok=True)

    def open(self, resource: str) -> bool:
        """True if a push of this resource was broken off and is neither taken up nor undone yet."""
        return self._keepsake(resource).exists()

    def restore(self, resource: str) -> None:
        """Undo a push that was broken off. Unreachable if that is not possible now: call it again."""
        path = self._keepsake(resource)
        if not path.exists():
            return
        with path.open("rb") as stream:
            old = msgspec.json.decode(stream.readline(), type=Info | None)
            if old is None:
                self._delete(resource)
            else:
                more = {"aliases": list(old.aliases), "indexes": list(old.indexes)}
                self._fill(resource, old.fields, more, map(json.loads, stream), lambda rows: None, lambda: True)
                found = self.info(resource)
                if found is None or found.count != old.count:
                    raise BadAnswer(
                        f"the former table of {resource} could not be restored whole: {found.count if found else 0} of "
                        f"{old.count} rows; its rows are in {path}"
                    )
        path.unlink()

    def begin(self, resource: str) -> Info | None:
        """Save the table that there is, unless a push that was broken off did so; the table before that push.

        By itself where somebody else is to write the new one: `finish` or `restore` ends it.
        """
        path = self._keepsake(resource)
        if path.exists():
            with path.open("rb") as stream:
                return msgspec.json.decode(stream.readline(), type=Info | None)
        old = self.info(resource)
        self._keep.mkdir(parents=True, exist_ok=True, mode=0o700)
        unfinished = path.with_suffix(".new")
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            stream.write(msgspec.json.encode(old) + b"\n")
            saved = 0
            for page in self._pages(resource, old) if old is not None else ():
                stream.writelines(json.dumps(row).encode() + b"\n" for row in page)
                saved += len(page)
            stream.flush()
            os.fsync(stream.fileno())
        if old is not None and saved != old.count:
            unfinished.unlink()
            raise BadAnswer(f"the table of {resource} changes while it is saved: {old.count} rows, then {saved}")
        unfinished.rename(path)
        return old

    def _pages(self, resource: str, old: Info) -> Iterator[list[Any]]:
        names = [field["id"] for field in old.fields]
        for offset in range(0, old.count, _PAGE):
            yield self._api.exact(
                "datastore_search", resource_id=resource, fields=names, sort="_id", records_format="lists",
                limit=_PAGE, offset=offset, include_total=False,
            )["records"]  # fmt: skip

    def _replace(
        self,
        resource: str,
        table: Table,
        old: Info | None,
        primary_key: Sequence[str],
        progress: Progress,
        go_on: Callable[[], bool],
    ) -> None:
        known = {field["id"]: dict(field.get("info") or {}) for field in old.fields} if old else {}
        fields = []
        for field in table.fields:
            entry: dict[str, Any] = {"id": field.id, "type": field.type}
            info = {**known.get(field.id, {}), **field.info}
            fields.append({**entry, "info": info} if info else entry)
        more: dict[str, object] = {"aliases": list(old.aliases)} if old and old.aliases else {}
        if primary_key:
            more["primary_key"] = list(primary_key)
        self._fill(resource, fields, more, table.records(), progress, go_on)

    def prepare(self, resource: str, table: Table) -> None:
        """An empty table that makes CKAN's own loaders take our types: they honour `type_override`."""
        fields = []
        for field in table.fields:
            type = field.type if field.type in ("numeric", "timestamp") else "text"
            fields.append({"id": field.id, "type": type, "info": {**field.info, "type_override": type}})
        self._create(resource, fields, {})

    def _delete(self, resource: str) -> None:
        try:
            self._patient(lambda: self._api.write("datastore_delete", resource_id=resource, force=True))
        except NotFound:
            pass

    def _create(
        self,
        resource: str,
        fields: Iterable[Mapping[str, Any]],
        more: Mapping[str, object],
        records: Sequence[Mapping[str, Value]] = (),
        last: bool = False,
    ) -> None:
        """An empty table, or one with its first rows; in the place of any that is there. One transaction."""

        def create() -> None:
            self._delete(resource)
            self._api.write(
                "datastore_create", resource_id=resource, force=True, fields=list(fields), records=records,
                calculate_record_count=last, **more,
            )  # fmt: skip

        self._patient(create)

    def _fill(
        self,
        resource: str,
        fields: Sequence[Mapping[str, Any]],
        more: Mapping[str, object],
        rows: Rows,
        progress: Progress,
        go_on: Callable[[], bool],
    ) -> None:
        """A table with its rows, in the place of any that is there.

        The first rows come with the table itself: CKAN makes the index for searches after those, which costs a fraction
        of what it does row by row.
        """
        names = [field["id"] for field in fields]
        done = 0
        for chunk, last in _chunks(rows, self._first, self._rows):
            if not go_on():
                raise Interrupted
            records = [dict(zip(names, row, strict=True)) for row in chunk]
            if done:
                self._send(resource, records, done, last)
            else:
                self._create(resource, fields, more, records, last)
            done += len(chunk)
            progress(done)
        if not done:
            self._create(resource, fields, more)

    def _send(self, resource: str, records: list[dict[str, Value]], before: int, last: bool) -> None:
        """One call. If its answer is lost, the table's count says whether it is to be repeated."""

        def insert() -> None:
            self._api.write(
                "datastore_upsert", resource_id=resource, force=True, method="insert", records=records,
                calculate_record_count=last,
            )  # fmt: skip

        def arrived() -> bool:
            found = self.info(resource)
            count = found.count if found else -1
            if count not in (before, before + len(records)):
                raise BadAnswer(f"the table has {count} rows where {before} or {before + len(records)} were expected")
            return count != before

        self._patient(insert, arrived)

    def _patient(self, act: Callable[[], object], happened: Callable[[], bool] = lambda: False) -> None:
        """Do it through short outages; `happened` tells after one whether it was done already."""
        deadline = self._clock.monotonic() + self._patience
        lost = False
        while True:
            try:
                if lost and happened():
                    return
                act()
                return
            except Unreachable:
                if self._clock.monotonic() >= deadline:
                    raise
                lost = True
                self._clock.sleep(_PAUSE)

    def _keepsake(self, resource: str) -> Path:
        if not resource or "/" in resource or resource.startswith("."):
            raise BadAnswer(f"{resource!r} is no id of a resource")
        return self._keep / f"{resource}.jsonl"


def differences(table: Table, found: Info | None) -> list[str]:
    """Where what the site has is not what was sent: sentences; empty if all is well."""
    if found is None:
        return ["there is no table"]
    wrong = []
    if found.count != table.rows:
        wrong.append(f"{found.count} rows are stored, {table.rows} were counted")
    types = found.types
    for field in table.fields:
        if field.id not in types:
            wrong.append(f"the column '{field.id}' is missing")
        elif types[field.id] != field.type:
            wrong.append(f"the column '{field.id}' is {types[field.id]}, not {field.type}")
    return wrong


def explain(error: Refused, table: Table) -> str:
    """A refusal of rows in words; the site names the last row of the call, not the one in question."""
    said = error.fields.get("records")
    info = error.fields.get("info")
    if not said and isinstance(info, Mapping) and info.get("orig"):
        # Of an index that was to be made: its name is of no use, the detail says which row.
        what = " ".join(str(info["orig"]).split())
        said = [f"duplicate key: {what.rpartition('DETAIL: ')[2]}" if info.get("pgcode") == _TWICE else what]
    text = "; ".join(map(str, said)) if isinstance(said, list) else str(error)
    return f"the DataStore refuses a row of {table.rows}: {text}"


def _plain(field: Mapping[str, Any]) -> dict[str, Any]:
    info = field.get("info")
    return {"id": field["id"], "type": field["type"], **({"info": info} if info else {})}


def _chunks(rows: Rows, first: int, most: int) -> Iterator[tuple[list[Sequence[Value]], bool]]:
    """Rows in lists of at most `most` (`first`: the first) and about `BYTES`, and whether it is the last."""
    waiting: list[Sequence[Value]] | None = None
    chunk: list[Sequence[Value]] = []
    weight, size = 0, first
    for row in rows:
        chunk.append(row)
        weight += sum(len(cell) for cell in row if isinstance(cell, str))
        if len(chunk) >= size or weight >= BYTES:
            if waiting is not None:
                yield waiting, False
            waiting, chunk, weight, size = chunk, [], 0, most
    if chunk and waiting is not None:
        yield waiting, False
    if last := chunk or waiting:
        yield last, True


__all__ = ["BadTable", "DataStore", "Info", "Interrupted", "differences", "explain"]
