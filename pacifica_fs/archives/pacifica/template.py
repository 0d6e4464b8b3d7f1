"""A site's uploader.json: which values an upload needs, and how policy is asked for what each of them may be. Pure.

The file is that of pacifica-cli and pacifica-uploader: a list of objects, one for each value. An entry depends on
others (`queryDependency`: column → metaID), its parents: what it may be is asked for with their values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from ...errors import ConfigError
from . import display
from .entries import KEY_VALUE

LISTED = frozenset({"list", "select", "logged_on", "directorytree"})
"""Values of `displayType` (in lower case) that offer a choice. Any other is free text, also one that nobody knows."""
_TRANSACTIONS = "Transactions."
_NAMES = {
    "id": "metaID",
    "table": "destinationTable",
    "source": "sourceTable",
    "title": "displayTitle",
    "kind": "displayType",
    "shown": "displayFormat",
    "depends": "queryDependency",
    "columns": "queryFields",
    "column": "valueField",
    "order": "directoryOrder",
}


class Query(msgspec.Struct, frozen=True):
    """A question to policy: `columns` of those rows of `table` that a user may choose from, and that match `where`."""

    table: str
    columns: tuple[str, ...]
    where: tuple[tuple[str, str], ...] = ()


class Entry(msgspec.Struct, frozen=True, rename=_NAMES.get):
    """One value. `order` makes it a folder around all files; `value` is a preset of the site."""

    id: str
    table: str
    value: str | int | float | None = None
    source: str | None = None
    title: str | None = None
    kind: str | None = None
    shown: str | None = None
    depends: Mapping[str, str] | None = None
    columns: tuple[str, ...] | None = None
    column: str | None = None
    key: str | None = None
    order: float | None = None

    @property
    def parents(self) -> Mapping[str, str]:
        """Column → metaID of what this one depends on; not itself."""
        return {column: parent for column, parent in (self.depends or {}).items() if parent != self.id}

    @property
    def preset(self) -> str:
        """The site's own value, or an empty text."""
        return "" if self.value is None else str(self.value)

    @property
    def asks(self) -> bool:
        """True where policy can say what the value may be."""
        return bool(self.source and self.column)

    @property
    def listed(self) -> bool:
        """True where the value is one of those that policy offers, False for free text."""
        return self.asks and (self.kind or "").lower() in LISTED

    @property
    def field(self) -> str:
        """`project` where it is a field of the transaction, which policy judges itself; else an empty text."""
        return self.table.removeprefix(_TRANSACTIONS) if self.table.startswith(_TRANSACTIONS) else ""

    @property
    def pair(self) -> str:
        """The key, where it is a key/value of the transaction; else an empty text."""
        return (self.key or "") if self.table == KEY_VALUE else ""

    @property
    def name(self) -> str:
        """What to call it to a person."""
        return f"'{self.title}' ({self.id})" if self.title and self.title != self.id else f"'{self.id}'"

    def query(self, values: Mapping[str, str]) -> Query:
        """The question for what it may be, with the parents' `values` as far as they are known."""
        where = tuple((column, values[parent]) for column, parent in self.parents.items() if parent in values)
        columns = tuple(dict.fromkeys((*(self.columns or ()), self.column or "")))
        return Query(self.source or "", tuple(filter(None, columns)), where)

    def value_of(self, row: Mapping[str, object]) -> str:
        """The value that the choice of `row` is."""
        found = row.get(self.column or "")
        return "" if found is None else str(found)

    def line(self, row: Mapping[str, object]) -> str:
        """`row` as the site wants it to be shown."""
        return display.render(self.shown, row) if self.shown else self.value_of(row)


class Template(msgspec.Struct, frozen=True):
    """`entries` with parents first, else as in the file; `text` is the file."""

    entries: tuple[Entry, ...]
    text: str

    def __getitem__(self, id: str) -> Entry:
        """The entry of this metaID; KeyError."""
        return next((entry for entry in self.entries if entry.id == id), None) or _missing(id)

    def __contains__(self, id: str) -> bool:
        return any(entry.id == id for entry in self.entries)

    @property
    def fields(self) -> frozenset[str]:
        """Fields of the transaction that it can bring."""
        return frozenset(filter(None, (entry.field for entry in self.entries)))

    @property
    def names(self) -> frozenset[str]:
        """What a sidecar may use as names of fields."""
        return frozenset(entry.id for entry in self.entries)

    @property
    def folders(self) -> tuple[Entry, ...]:
        """Those that are folders around all files, the outermost first."""
        found = [entry for entry in self.entries if entry.order is not None]
        return tuple(sorted(found, key=lambda entry: entry.order or 0.0))

    def above(self, id: str) -> tuple[Entry, ...]:
        """What the entry depends on, directly or not, parents first."""
        wanted = {id}
        for entry in reversed(self.entries):
            if entry.id in wanted:
                wanted.update(entry.parents.values())
        return tuple(entry for entry in self.entries if entry.id in wanted and entry.id != id)


def parse(content: bytes, where: str) -> Template:
    """The template that `content` is; ConfigError says what is wrong, and at which entry of the file `where`."""
    try:
        found = msgspec.json.decode(content, type=tuple[Entry, ...])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where}: {_words(str(error))}") from error
    if not found:
        raise ConfigError(f"{where}: a list with an object for each value was expected, this one is empty")
    for number, entry in enumerate(found, 1):
        for wrong in _wrong(entry, found):
            raise ConfigError(f"{where}: entry {number} ({entry.id!r}): {wrong}")
    return Template(_parents_first(found, where), content.decode("utf-8-sig"))


def _wrong(entry: Entry, all: tuple[Entry, ...]) -> Iterator[str]:
    if entry.id in ("", ".", "..") or not re.fullmatch(r"[^/\0\n=,]{1,120}", entry.id) or entry.id == "keys":
        yield "metaID: a name was expected, of at most 120 characters and without '/', '=' and ','"
    if sum(other.id == entry.id for other in all) > 1:
        yield "metaID: another entry has the same"
    for parent in entry.parents.values():
        if not any(other.id == parent for other in all):
            yield f"queryDependency: there is no entry '{parent}'"
    if entry.table == KEY_VALUE and not entry.key:
        yield f'{KEY_VALUE} needs a "key"'
    if entry.shown and (reason := display.wrong(entry.shown)):
        yield f"displayFormat: {reason}"


def _parents_first(entries: tuple[Entry, ...], where: str) -> tuple[Entry, ...]:
    """In the file's order, but nothing before what it depends on."""
    done: dict[str, Entry] = {}
    left = list(entries)
    while left:
        ready = next((entry for entry in left if all(parent in done for parent in entry.parents.values())), None)
        if ready is None:
            circle = ", ".join(entry.id for entry in left)
            raise ConfigError(f"{where}: queryDependency goes round in a circle among: {circle}")
        left.remove(ready)
        done[ready.id] = ready
    return tuple(done.values())


def _missing(id: str) -> Entry:
    raise KeyError(id)


def _words(message: str) -> str:
    """msgspec's message in the words of the file: `$[2].metaID` is of its third entry."""
    text = message.replace("`", "'")
    return re.sub(r" - at '\$\[(\d+)\]([^']*)'", lambda at: f" (entry {int(at[1]) + 1}{at[2]})", text)


DEFAULT = parse(
    b"""[
  {
    "metaID": "logon",
    "destinationTable": "Transactions.submitter",
    "displayTitle": "Who submits",
    "displayType": "logged_on",
    "displayFormat": "{_id} - {first_name} {last_name}",
    "sourceTable": "users",
    "queryFields": ["_id", "first_name", "last_name"],
    "valueField": "_id",
    "queryDependency": {},
    "value": ""
  },
  {
    "metaID": "project",
    "destinationTable": "Transactions.project",
    "displayTitle": "Project",
    "displayType": "select",
    "displayFormat": "{_id} - {title}",
    "sourceTable": "projects",
    "queryFields": ["_id", "title"],
    "valueField": "_id",
    "queryDependency": {},
    "value": ""
  },
  {
    "metaID": "instrument",
    "destinationTable": "Transactions.instrument",
    "displayTitle": "Instrument",
    "displayType": "select",
    "displayFormat": "{_id} {name_short} - {display_name}",
    "sourceTable": "instruments",
    "queryFields": ["_id", "name_short", "display_name"],
    "valueField": "_id",
    "queryDependency": {"project_id": "project"},
    "value": ""
  }
]
""",
    "the default template",
)
"""What is asked for where a site has no uploader.json of its own; only to show choices."""
