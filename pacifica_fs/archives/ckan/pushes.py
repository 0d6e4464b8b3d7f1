"""Tables on their way into the DataStore once their files are uploaded: noted durably, followed, verified.

A bundle's *push* is one small file of this program's state. It is taken up after a restart, by whoever polls it.
Threads of its own do the work: at most `IN_FLIGHT` jobs of a loader and `DIRECT` direct ones at a time.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from ...clock import Clock
from ...errors import NotFound, PacificaFSError, Unreachable
from .api import Refused
from .datastore import DataStore, differences, explain
from .loaders import FULL, UNSUBMITTED, Loader
from .said import message
from .tables import BadTable, Interrupted, NotATable, Table, read
from .wishes import Wish

log = logging.getLogger(__name__)

IN_FLIGHT = 8
DIRECT = 2
KEPT = 7 * 86400.0
FULL_TRIES = 60
TAKE_UP = 5.0
"""Seconds within which a plugin begins a job for new content, which it does while it is uploaded."""
WAITING, PUSHING, DONE, FAILED = "waiting", "pushing", "done", "failed"


class FilePush(msgspec.Struct, frozen=True):
    """One file: `resource` it became, `source` its bytes here. `known`: the site had it, and perhaps its table.

    `before`: the sign of the site's own loader before this content replaced another; its old job says nothing.
    """

    path: str
    resource: str
    source: str
    format: str
    wish: Wish
    mode: str
    known: bool = False
    before: str = ""
    state: str = WAITING
    route: str = ""
    job: str = ""
    key: str = ""
    attempt: int = 0
    expected: int | None = None
    stored: int | None = None
    fields: tuple[tuple[str, str], ...] = ()
    remarks: tuple[str, ...] = ()
    message: str = ""

    def shown(self) -> dict[str, Any]:
        """For the status: no key of anything."""
        found: dict[str, Any] = {"resource": self.resource, "state": self.state}
        if self.route:
            found["route"] = self.route
        if self.expected is not None:
            found["datastore"] = {
                "rows_expected": self.expected,
                "rows_stored": self.stored,
                "fields": dict(self.fields),
            }
        if self.remarks:
            found["remarks"] = list(self.remarks)
        if self.message:
            found["error"] = self.message
        return found


class Push(msgspec.Struct, frozen=True):
    """All files of one bundle, and the package they are in."""

    bundle: str
    package: str
    files: tuple[FilePush, ...] = ()

    @property
    def over(self) -> bool:
        """True once nothing is to be done any more."""
        return all(file.state in (DONE, FAILED) for file in self.files)

    @property
    def failure(self) -> str:
        """Why it failed; empty if it did not."""
        return "; ".join(f"{file.path}: {file.message}" for file in self.files if file.state == FAILED)


class Ways(msgspec.Struct, frozen=True):
    """What the pushes need of the site: `loader(mode)` is who loads tables by themselves there, None for nobody;
    `plugin()` the site's own one, which must not be raced; `aside(resource)` has it leave a resource alone, and says
    so. `secrets` are never part of a message."""

    store: DataStore
    loader: Callable[[str], Loader | None]
    plugin: Callable[[], Loader | None]
    aside: Callable[[str], str]
    secrets: Callable[[], tuple[str, ...]]
    patience: float


class Pushes:
    """The pushes of one archive, in `folder`. Any thread."""

    def __init__(self, folder: Path, ways: Ways, clock: Clock, stopping: threading.Event) -> None:
        self._folder, self._ways, self._clock, self._stopping = folder, ways, clock, stopping
        self._lock = threading.Lock()
        self._known: dict[str, Push] = {}
        self._running: set[tuple[str, str]] = set()
        self._pool = ThreadPoolExecutor(IN_FLIGHT, "ckan-push")
        self._direct = threading.Semaphore(DIRECT)

    def add(self, push: Push) -> None:
        """Note it, in place of an earlier one of the same bundle. `get` starts it."""
        with self._lock:
            self._note(push)

    def get(self, bundle: str) -> Push:
        """The push as it stands, its work begun if nobody does it yet. NotFound."""
        with self._lock:
            push = self._known.get(bundle) or self._load(bundle)
            self._known[bundle] = push
            for file in push.files:
                key = (bundle, file.path)
                if file.state in (WAITING, PUSHING) and key not in self._running and not self._stopping.is_set():
                    self._running.add(key)
                    self._pool.submit(self._work, bundle, file.path)
        return push

    def close(self) -> None:
        """Take up no more work; what is under way ends by itself, for `stopping` is set."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _work(self, bundle: str, path: str) -> None:
        try:
            self._push(bundle, path)
        except Interrupted:
            pass
        except Unreachable as error:
            self._change(bundle, path, remarks=(f"waiting for the site: {self._said(error)}",))
            self._stopping.wait(5.0)
        except (Refused, PacificaFSError, OSError) as error:
            self._change(bundle, path, state=FAILED, message=self._said(error), key="")
        except Exception as error:
            log.exception("a push into the DataStore")
            self._change(bundle, path, state=FAILED, message=f"a defect of this program: {error!r}", key="")
        finally:
            with self._lock:
                self._running.discard((bundle, path))

    def _push(self, bundle: str, path: str) -> None:
        file = self._change(bundle, path, state=PUSHING, message="")
        store, ways = self._ways.store, self._ways
        if file.mode == "none":
            self._change(bundle, path, state=DONE, route="none")
            return
        try:
            table = self._table(file)
        except NotATable as error:
            self._change(bundle, path, state=DONE, route="none", remarks=(f"not a table: {error}",))
            return
        file = self._change(bundle, path, expected=table.rows, remarks=table.remarks)
        if file.known and not store.open(file.resource):
            found = store.info(file.resource)
            if found is not None and not differences(table, found):
                self._stored(bundle, path, "as before")
                return
        loader = ways.loader(file.mode)
        if loader is not None:
            store.begin(file.resource)
            why = self._loaded(bundle, path, table, loader)
            if not why:
                store.finish(file.resource)
                self._stored(bundle, path, loader.name)
                return
            if file.mode == "datapusher":
                store.restore(file.resource)
                raise BadTable(f"{loader.name}: {why}")
            remarks = (*table.remarks, f"{loader.name}: {why}; loaded directly instead")
            self._change(bundle, path, remarks=remarks)
        if (plugin := ways.plugin()) is not None:
            # Its own job would be begun anew by what a direct push does to the resource.
            self._followed(file, plugin, known=True)
            said = ways.aside(file.resource)
            self._followed(file, plugin, known=True)
            self._change(bundle, path, remarks=(*self._file(bundle, path).remarks, *([said] if said else [])))
        self._change(bundle, path, route="direct", stored=0)
        with self._direct:
            try:
                store.push(
                    file.resource, table, primary_key=file.wish.primary_key, go_on=lambda: not self._stopping.is_set(),
                    progress=lambda rows: self._progress(bundle, path, rows),
                )  # fmt: skip
            except Refused as error:
                raise BadTable(explain(error, table)) from error
        self._stored(bundle, path, "direct")

    def _table(self, file: FilePush) -> Table:
        """The file as a table; types chosen in CKAN's data dictionary count where the sidecar says nothing."""
        options = file.wish.table
        info = self._ways.store.info(file.resource)
        said = {option.id for option in options.fields}
        chosen = tuple(one for one in (info.overrides if info else ()) if one.id not in said)
        go_on: Callable[[], bool] = lambda: not self._stopping.is_set()  # noqa: E731
        if chosen:
            fields = (*options.fields, *chosen)
            try:
                return read(Path(file.source), file.format, msgspec.structs.replace(options, fields=fields), go_on)
            except BadTable as error:
                log.info("%s: types of the data dictionary do not fit: %s", file.path, error)
        return read(Path(file.source), file.format, options, go_on)

    def _loaded(self, bundle: str, path: str, table: Table, loader: Loader) -> str:
        """Have a loader load it; why it is not as it should be, or an empty text."""
        file = self._change(bundle, path, route=loader.name)
        prepared = getattr(loader, "prepared", False)
        while True:
            job = f"{bundle}-{_word(path)}-{file.attempt}"
            if file.job != job:
                if prepared:
                    self._ways.store.prepare(file.resource, table)
                try:
                    key = loader.submit(file.resource, job, file.attempt > 0)
                except Refused as error:
                    return self._said(error)
                file = self._change(bundle, path, job=job, key=key)
                if file.before and not self._taken_up(file, loader):
                    if file.mode != "datapusher":
                        return "it has not taken up the new content"
                    loader.submit(file.resource, job, True)
            state, said = self._followed(file, loader)
            if state == "error" and FULL in said and file.attempt < FULL_TRIES:
                self._pause(min(60.0, 2.0 * (file.attempt + 1)))
                file = self._change(bundle, path, attempt=file.attempt + 1)
                continue
            if state == "error":
                return said
            wrong = loaded_wrong(table, self._ways.store.info(file.resource), file)
            return "; ".join([*([said] if said else []), *wrong]) if wrong else ""

    def _taken_up(self, file: FilePush, loader: Loader) -> bool:
        deadline = self._clock.monotonic() + TAKE_UP
        while loader.look(file.resource, file.job, file.key).sign == file.before:
            if self._clock.monotonic() >= deadline:
                return False
            self._pause(0.25)
        return True

    def _followed(self, file: FilePush, loader: Loader, known: bool = False) -> tuple[str, str]:
        """Watch a job to its end: its state and message. One without a sign of life is over, too: `stalled`.

        `known`: there need not be a job.
        """
        sign, since, pause = "", self._clock.monotonic(), 0.25
        while True:
            look = loader.look(file.resource, file.job, file.key)
            if look.state in ("complete", "error") or (known and look.sign == UNSUBMITTED):
                return look.state, look.message
            now = self._clock.monotonic()
            if look.sign != sign:
                sign, since = look.sign, now
            if now - since > self._ways.patience:
                return "stalled", f"its job shows no sign of life for {self._ways.patience:.0f} s"
            self._pause(pause)
            pause = min(5.0, pause * 1.3)

    def _stored(self, bundle: str, path: str, route: str) -> None:
        file = self._file(bundle, path)
        found = self._ways.store.info(file.resource)
        self._change(
            bundle, path, state=DONE, route=route, key="", stored=found.count if found else 0,
            fields=tuple((found.types if found else {}).items()),
        )  # fmt: skip

    def _progress(self, bundle: str, path: str, rows: int) -> None:
        with self._lock:
            self._replace(bundle, path, stored=rows)

    def _pause(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise Interrupted

    def _said(self, error: BaseException) -> str:
        return message(str(error), self._ways.secrets())

    def _file(self, bundle: str, path: str) -> FilePush:
        return next(file for file in self._known[bundle].files if file.path == path)

    def _change(self, bundle: str, path: str, **changes: Any) -> FilePush:
        """Note a change of one file, durably."""
        with self._lock:
            self._replace(bundle, path, **changes)
            self._note(self._known[bundle])
        return self._file(bundle, path)

    def _replace(self, bundle: str, path: str, **changes: Any) -> None:
        push = self._known[bundle]
        files = tuple(msgspec.structs.replace(file, **changes) if file.path == path else file for file in push.files)
        self._known[bundle] = msgspec.structs.replace(push, files=files)

    def _note(self, push: Push) -> None:
        self._known[push.bundle] = push
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._path(push.bundle)
        unfinished = path.with_suffix(".new")
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            stream.write(msgspec.json.encode(push))
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.rename(path)

    def _load(self, bundle: str) -> Push:
        self._sweep()
        try:
            return msgspec.json.decode(self._path(bundle).read_bytes(), type=Push)
        except (OSError, msgspec.DecodeError) as error:
            raise NotFound(f"nothing is known of a push of {bundle}") from error

    def _sweep(self) -> None:
        for path in self._folder.glob("*.json"):
            if time.time() - path.stat().st_mtime > KEPT:
                path.unlink(missing_ok=True)

    def _path(self, bundle: str) -> Path:
        return self._folder / f"{_word(bundle)}.json"


def loaded_wrong(table: Table, found: Any, file: FilePush) -> list[str]:
    """Where what a loader stored is damaged: text in place of another type is not, unless the sidecar chose that."""
    chosen = {option.id for option in file.wish.table.fields if option.type}
    wrong = []
    if found is None:
        return [] if not table.rows and file.mode == "datapusher" else ["no table was made"]
    if found.count != table.rows:
        wrong.append(f"{found.count} rows are stored, {table.rows} were counted")
    types: Mapping[str, str] = found.types
    if len(types) != len(table.fields):
        wrong.append(f"{len(types)} columns are stored, there are {len(table.fields)}")
    for field, (id, type) in zip(table.fields, types.items(), strict=False):
        if type != field.type and (type != "text" or field.id in chosen or field.heading in chosen):
            wrong.append(f"the column '{id}' is {type}, not {field.type}")
    return wrong


def _word(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)[:100]
