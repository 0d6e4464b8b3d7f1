"""Jobs and what they logged, on disk. Several processes may add and look; one of them works (see `runner`).

Secrets are in this file alone (0600), and overwritten when they are not needed any more.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from ....errors import ConfigError, NotFound
from .job import COMPLETE, ERROR, PENDING, Job, Wrong, stamp

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, status TEXT NOT NULL, told INTEGER NOT NULL,
    finished REAL, job BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS open ON jobs (told, status);
CREATE TABLE IF NOT EXISTS logs (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, entry BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS logged ON logs (id);
"""
LONGEST_LOG = 5000


class Store:
    """The list of jobs in `file`. Any thread. ConfigError if the file cannot be used."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        try:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
            self._database = sqlite3.connect(file, timeout=30, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA secure_delete = ON")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(f"{file}: the list of jobs cannot be kept there: {error}") from error

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._database.close()

    def add(self, job: Job) -> None:
        """A new one, durable when this returns. Wrong if its id is taken."""
        try:
            with self._writing() as database:
                database.execute(
                    "INSERT INTO jobs (id, status, told, job) VALUES (?, ?, ?, ?)",
                    (job.id, job.status, job.told, msgspec.json.encode(job)),
                )
        except sqlite3.IntegrityError:
            raise Wrong(f"job_id {job.id} already exists") from None

    def get(self, id: str) -> Job:
        """NotFound."""
        rows = self._read("SELECT job FROM jobs WHERE id = ?", (id,))
        if not rows:
            raise NotFound("job_id not found")
        return msgspec.json.decode(rows[0][0], type=Job)

    def has(self, id: str) -> bool:
        """Whether it was not deleted."""
        return bool(self._read("SELECT 1 FROM jobs WHERE id = ?", (id,)))

    def change(self, job: Job) -> None:
        """Another state of a job; nothing happens if it was deleted."""
        with self._writing() as database:
            database.execute(
                "UPDATE jobs SET status = ?, told = ?, finished = ?, job = ? WHERE id = ?",
                (job.status, job.told, job.finished, msgspec.json.encode(job), job.id),
            )

    def log(self, id: str, message: str, level: str = "INFO", name: str = "push") -> None:
        """Add a line."""
        entry = {
            "timestamp": stamp(time.time()), "message": message, "level": level, "module": "datapusher",
            "funcName": name, "lineno": 0,
        }  # fmt: skip
        with self._writing() as database:
            database.execute("INSERT INTO logs (id, entry) VALUES (?, ?)", (id, msgspec.json.encode(entry)))

    def logs(self, id: str, limit: int | None = None) -> list[Mapping[str, Any]]:
        """The newest `limit` lines, in their order."""
        many = LONGEST_LOG if limit is None else min(max(limit, 0), LONGEST_LOG)
        rows = self._read("SELECT entry FROM logs WHERE id = ? ORDER BY number DESC LIMIT ?", (id, many))
        return [msgspec.json.decode(row[0]) for row in reversed(rows)]

    def ids(self, status: str, metadata: Mapping[str, str], limit: int, offset: int) -> list[str]:
        """Ids, the newest first, of jobs in a state (empty: any) with these values in their metadata."""
        rows = self._read("SELECT job FROM jobs WHERE ? IN ('', status) ORDER BY number DESC", (status,))
        found = []
        for (data,) in rows:
            job = msgspec.json.decode(data, type=Job)
            if all(_text(job.metadata.get(key)) == value for key, value in metadata.items()):
                found.append(job.id)
        return found[offset : offset + limit]

    def todo(self) -> list[Job]:
        """What is to be done, or to be told, the oldest first."""
        rows = self._read("SELECT job FROM jobs WHERE told = 0 OR status = ? ORDER BY number", (PENDING,))
        return [msgspec.json.decode(row[0], type=Job) for row in rows]

    def counts(self) -> dict[str, int]:
        """How many there are in each state."""
        rows = self._read("SELECT status, COUNT(*) FROM jobs GROUP BY status", ())
        return {PENDING: 0, COMPLETE: 0, ERROR: 0, **dict(rows)}

    def delete(self, id: str) -> None:
        """NotFound."""
        with self._writing() as database:
            if not database.execute("DELETE FROM jobs WHERE id = ?", (id,)).rowcount:
                raise NotFound("job_id not found")
            database.execute("DELETE FROM logs WHERE id = ?", (id,))

    def clear(self, seconds: float) -> None:
        """Forget what was over longer ago than that."""
        with self._writing() as database:
            database.execute("DELETE FROM jobs WHERE told = 1 AND finished < ?", (time.time() - seconds,))
            database.execute("DELETE FROM logs WHERE id NOT IN (SELECT id FROM jobs)")

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def _read(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        with self._lock:
            return self._database.execute(sql, values).fetchall()


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None if value is None else msgspec.json.encode(value).decode()
