"""What transactions can be grouped and found by: a table made of their JSON, one row for each, kept up on the way.

It is disposable: a file in the cache, made anew where it is missing, damaged or another version's. A transaction does
not change, so its JSON is read once; which there are is seen by one scan of names at each question.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ... import periods
from ...errors import NotFound, Unreachable, WaitTimeout
from ...model import Group
from .record import Header

VERSION = 1
PATIENCE = 60.0
COLUMNS = {"project": "project", "instrument": "instrument", "user": "submitter"}
_DATES = {"year": "%Y", "month": "%m", "day": "%d"}
_SCHEMA = f"""
CREATE TABLE transactions (id INTEGER PRIMARY KEY, project TEXT, instrument TEXT, submitter TEXT, submitted INTEGER);
CREATE TABLE pairs (key TEXT, value TEXT, id INTEGER, PRIMARY KEY (key, value, id)) WITHOUT ROWID;
CREATE INDEX by_project ON transactions (project);
CREATE INDEX by_time ON transactions (submitted);
CREATE INDEX pairs_of ON pairs (id);
CREATE TABLE about (identity TEXT);
PRAGMA user_version = {VERSION};
"""


class Index:
    """The table in `file`, of the archive that `identity` names. Any thread, several programs; one question at a time.

    Where another folder took the archive's place, the table is made anew.
    """

    def __init__(self, file: Path, identity: Callable[[], str]) -> None:
        self._file = file
        self._identity = identity
        self._lock = threading.Lock()
        self._open: sqlite3.Connection | None = None

    def groups(self, dimension: str, where: Mapping[str, str], ids: Sequence[int], load: Loader) -> list[Group]:
        """The values of a dimension among transactions that match; NotFound for what is none, or an unknown value."""
        if dimension in COLUMNS:
            what = f"t.{COLUMNS[dimension]}"
        elif dimension in _DATES:
            what = f"strftime('{_DATES[dimension]}', t.submitted / 1000000000, 'unixepoch')"
        elif dimension in ("key", "value"):
            what = f"p.{dimension}"
        else:
            raise NotFound(f"transactions are not grouped by {dimension}")
        condition, values = _condition(where)
        joined = "JOIN pairs p ON p.id = t.id" if dimension in ("key", "value") or "key" in where else ""
        with self._current(ids, load) as database:
            self._exists(database, where)
            found = database.execute(
                f"SELECT DISTINCT {what} FROM transactions t {joined} WHERE {what} <> '' AND {condition} ORDER BY 1",
                values,
            )
            return [Group(str(row[0])) for row in found]

    def containers(self, where: Mapping[str, str], ids: Sequence[int], load: Loader, limit: int) -> list[int]:
        """Ids of transactions that match, the highest first, at most `limit`. NotFound as `groups`."""
        condition, values = _condition(where)
        joined = "JOIN pairs p ON p.id = t.id" if "key" in where else ""
        with self._current(ids, load) as database:
            self._exists(database, where)
            found = database.execute(
                f"SELECT DISTINCT t.id FROM transactions t {joined} WHERE {condition} ORDER BY t.id DESC LIMIT ?",
                (*values, limit),
            )
            return [row[0] for row in found]

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._open is not None:
                self._open.close()
                self._open = None

    @contextlib.contextmanager
    def _current(self, ids: Sequence[int], load: Loader) -> Iterator[sqlite3.Connection]:
        """The table with exactly the transactions `ids`."""
        identity = self._identity()
        if not self._lock.acquire(timeout=PATIENCE):
            raise WaitTimeout("another program is reading all transactions for their index")
        try:
            try:
                database = self._connected()
                if database.execute("SELECT identity FROM about").fetchone() != (identity,):
                    database = self._anew()
                    with database:
                        database.execute("INSERT INTO about VALUES (?)", (identity,))
                self._catch_up(database, ids, load)
            except sqlite3.DatabaseError as error:
                database = self._anew(error)
                self._catch_up(database, ids, load)
            yield database
        except sqlite3.Error as error:
            raise Unreachable(f"{self._file}: {error}") from error
        finally:
            self._lock.release()

    def _catch_up(self, database: sqlite3.Connection, ids: Sequence[int], load: Loader) -> None:
        there = {row[0] for row in database.execute("SELECT id FROM transactions")}
        gone, new = there.difference(ids), [id for id in ids if id not in there]
        if not gone and not new:
            return
        with database:
            for table in ("transactions", "pairs"):
                database.executemany(f"DELETE FROM {table} WHERE id = ?", ((id,) for id in gone))
            for id in new:
                try:
                    header = load(str(id))
                except NotFound:
                    continue  # somebody removed it since the scan
                row = (id, header.project, header.instrument, header.submitter, header.submitted_ns)
                database.execute("INSERT OR REPLACE INTO transactions VALUES (?, ?, ?, ?, ?)", row)
                pairs = [(key, value, id) for key, value in header.keys]
                database.executemany("INSERT OR IGNORE INTO pairs VALUES (?, ?, ?)", pairs)

    def _connected(self) -> sqlite3.Connection:
        if self._open is None:
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as error:
                raise Unreachable(f"{self._file.parent} cannot be made: {error.strerror}") from error
            database = sqlite3.connect(self._file, timeout=PATIENCE, check_same_thread=False)
            if database.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                database.close()
                return self._anew()
            self._open = database
        return self._open

    def _anew(self, error: sqlite3.Error | None = None) -> sqlite3.Connection:
        if isinstance(error, sqlite3.OperationalError):
            raise error  # locked, full, not readable: it is not the file's fault
        if self._open is not None:
            self._open.close()
            self._open = None
        self._file.unlink(missing_ok=True)
        database = sqlite3.connect(self._file, timeout=PATIENCE, check_same_thread=False)
        database.executescript("PRAGMA synchronous = OFF;" + _SCHEMA)
        self._open = database
        return database

    @staticmethod
    def _exists(database: sqlite3.Connection, where: Mapping[str, str]) -> None:
        """NotFound where a value is nowhere."""
        queries: list[tuple[str, tuple[str, ...]]] = [
            (f"SELECT 1 FROM transactions WHERE {COLUMNS[d]} = ?", (where[d],)) for d in COLUMNS if d in where
        ]
        if "key" in where and "value" in where:
            queries.append(("SELECT 1 FROM pairs WHERE key = ? AND value = ?", (where["key"], where["value"])))
        elif "key" in where:
            queries.append(("SELECT 1 FROM pairs WHERE key = ?", (where["key"],)))
        for query, values in queries:
            if database.execute(f"{query} LIMIT 1", values).fetchone() is None:
                raise NotFound(f"there is no transaction with {values[-1]!r}")


def _condition(where: Mapping[str, str]) -> tuple[str, list[str | int]]:
    unknown = sorted(set(where) - set(COLUMNS) - periods.NAMES - {"key", "value"})
    if unknown or ("value" in where and "key" not in where):
        raise NotFound(f"transactions are not listed by {unknown[0] if unknown else 'value alone'}")
    words, values = ["1"], []
    for dimension, column in COLUMNS.items():
        if dimension in where:
            words.append(f"t.{column} = ?")
            values.append(where[dimension])
    for column in ("key", "value"):
        if column in where:
            words.append(f"p.{column} = ?")
            values.append(where[column])
    chosen = periods.span(where)
    for time, sign in ((chosen.begin, ">="), (chosen.end, "<")):
        if time is not None:
            words.append(f"t.submitted {sign} {_nanoseconds(time)}")
    return " AND ".join(words), list(values)


def _nanoseconds(time: datetime) -> int:
    return int(time.replace(tzinfo=UTC).timestamp()) * 10**9


Loader = Callable[[str], Header]
