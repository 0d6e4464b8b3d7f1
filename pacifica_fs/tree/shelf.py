"""What an archive said, on disk, for the time when it is out of reach."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

FILE = "answers.sqlite"
FORMAT = "1"
"""Which form the answers have (those of `model` and the archives); what was kept in another one is a miss."""
PATIENCE = 0.5
"""Seconds to wait for another thread or process that writes; then it is a miss."""
_TABLE = (
    "CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, value BLOB NOT NULL, put REAL NOT NULL) WITHOUT ROWID"
)
_FIND = "SELECT value FROM answers WHERE key = ?"
_OLDEST = "DELETE FROM answers WHERE put < (SELECT put FROM answers ORDER BY put DESC LIMIT 1 OFFSET ?)"


class Shelf:
    """Listings in one file below `root`: a file for each would cost more than many an archive. Disposable; any failure
    is a miss, and what is damaged is begun anew.

    `limit` is the number of answers kept; the oldest go first. Safe between threads and processes.
    """

    def __init__(self, root: Path, limit: int = 20_000) -> None:
        self._root = root
        self._limit = limit
        self._puts = 0
        self._lock = threading.Lock()
        self._open: sqlite3.Connection | None = None

    def get(self, key: tuple[str, ...], type: Any) -> Any | None:
        """What was kept for `key`, as `type`; None if nothing (readable) is there."""
        row = self._work(lambda database: database.execute(_FIND, (_digest(key),)).fetchone())
        try:
            return None if row is None else msgspec.msgpack.decode(row[0], type=type)
        except msgspec.MsgspecError:
            return None

    def put(self, key: tuple[str, ...], value: Any) -> None:
        """Keep `value`; silently not, where the disk does not take it."""
        try:
            row = (_digest(key), msgspec.msgpack.encode(value), time.time())
        except (msgspec.MsgspecError, TypeError):
            return

        def write(database: sqlite3.Connection) -> None:
            database.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", row)
            self._puts += 1
            if self._puts % 1000 == 1:
                database.execute(_OLDEST, (self._limit - 1,))

        self._work(write)

    def close(self) -> None:
        """Let go of the file; a later call opens it again."""
        with self._lock:
            if self._open is not None:
                self._open.close()
                self._open = None

    def _work(self, work: Callable[[sqlite3.Connection], Any]) -> Any | None:
        """What `work` returns, one thread at a time; None where that cannot be done, or not in time."""
        if not self._lock.acquire(timeout=PATIENCE):
            return None
        try:
            if self._open is None:
                self._open = self._connect()
            return work(self._open)
        except sqlite3.OperationalError:  # locked, full, not readable: another time
            return None
        except sqlite3.DatabaseError:
            self._begin_anew()
            return None
        except OSError:
            return None
        finally:
            self._lock.release()

    def _connect(self) -> sqlite3.Connection:
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        database = sqlite3.connect(self._root / FILE, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            # What a power cut takes of it, or a killed process, does not matter.
            database.execute("PRAGMA synchronous = OFF")
            database.execute("PRAGMA journal_mode = WAL")
            database.execute(_TABLE)
        except sqlite3.Error:
            database.close()
            raise
        return database

    def _begin_anew(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None
        for suffix in ("", "-wal", "-shm"):
            with suppress(OSError):
                (self._root / (FILE + suffix)).unlink()


def _digest(key: tuple[str, ...]) -> bytes:
    return hashlib.sha256("\0".join((FORMAT, *key)).encode("utf-8", "surrogateescape")).digest()
