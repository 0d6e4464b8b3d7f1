"""One job: the resource is fetched, read as a table and written into the DataStore, or what was there stays there."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
from requests import PreparedRequest

from ....clock import Clock
from ....config import DatapusherSettings
from ....errors import Denied, NotFound, PacificaFSError, TooLarge, WaitTimeout
from ....transport.failures import shown
from ....transport.http import Http, Timeouts
from ....transport.reach import Policy, Reach
from ....transport.retry import NEVER
from ..api import Api, Refused, Token, judge
from ..datastore import DataStore, explain
from ..tables import BadTable, Interrupted, Options, Table, format_of, read
from .job import Job

PIECE = 1 << 16
UNDO = 600.0
"""Seconds for which the former table is restored after a deadline, or a job that was deleted."""
_CODES = ((NotFound, 404), (Denied, 403), (Refused, 409))


class Key(Token):
    """Signs with the key of a job, which may name another header than `Authorization`: `X-Foo:key`."""

    def __init__(self, key: str) -> None:
        super().__init__(lambda: key)
        name, colon, value = key.partition(":")
        self._header = (name, value) if colon and name.startswith("X-") else ("Authorization", key)

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers[self._header[0]] = self._header[1]
        return request

    def renew(self, refused: str) -> bool:
        """There is no other."""
        return False


class World(msgspec.Struct, frozen=True):
    """What a job needs of its surroundings: `folder` is for what is fetched and for keepsakes."""

    settings: DatapusherSettings
    policy: Policy
    folder: Path
    clock: Clock
    agent: str = "pacifica-fs"
    verify: bool | str = True


class Work:
    """One job's work, for one thread. `log` takes its lines, `go_on` says whether it is still wanted."""

    def __init__(self, world: World, job: Job, log: Callable[[str], None], go_on: Callable[[], bool]) -> None:
        self._world, self._job, self._log, self._go_on = world, job, log, go_on
        self._over = threading.Event()
        self._key = Key(job.api_key)

    def run(self) -> None:
        """Do it. PacificaFSError says why it failed; Interrupted: `go_on` said no."""
        with self._reach(self._world.settings.job_timeout, "the job", self._over) as reach:
            self._run(reach)

    def undo(self) -> None:
        """The table that was there before, after what is not to be gone on with."""
        with self._reach(UNDO, "the restoring") as reach:
            self._store(reach).restore(self._job.resource)

    def tell(self, body: Any) -> None:
        """Call `result_url`. PacificaFSError."""
        policy = self._world.policy
        policy.check_url(self._job.result_url)
        with self._reach(self._world.settings.download_timeout, "the call of result_url") as reach:
            http = self._http(self._job.result_url, reach, self._key)
            try:
                http.request("POST", self._job.result_url, json=body, repeat=False)
            finally:
                http.close()

    def _run(self, reach: Reach) -> None:
        job, log = self._job, self._log
        self._world.policy.check_url(job.site)
        api = self._api(reach)
        resource = api.read("resource_show", id=job.resource)
        if resource.get("url_type") == "datastore":
            log("Dump files are managed with the Datastore API")
            return
        source = self._world.folder / "fetched" / hashlib.sha256(job.id.encode()).hexdigest()
        source.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            format, digest = self._fetch(resource, source)
            store = self._store(reach)
            if resource.get("hash") == digest and not job.metadata.get("ignore_hash") and store.info(job.resource):
                log(f"The file hash hasn't changed: {digest}.")
                return
            self._push(store, source, format)
        finally:
            source.unlink(missing_ok=True)
        if job.metadata.get("set_url_type"):
            api.write("resource_update", **{**resource, "url_type": "datapusher", "hash": digest})

    def _push(self, store: DataStore, source: Path, format: str) -> None:
        job, log = self._job, self._log
        table = self._read(store, source, format)
        log(f"Determined headers and types: {[{'id': field.id, 'type': field.type} for field in table.fields]}")
        for remark in table.remarks:
            log(remark)
        saved = 0

        def progress(rows: int) -> None:
            nonlocal saved
            saved += 1
            log(f"Saving chunk {saved}{' (last)' if rows == table.rows else ''}")

        log(f'Deleting "{job.resource}" from datastore.')
        try:
            store.push(job.resource, table, progress=progress, go_on=self._wanted)
        except Refused as error:
            raise BadTable(explain(error, table)) from error
        log(f'Successfully pushed {table.rows} entries to "{job.resource}".')

    def _read(self, store: DataStore, source: Path, format: str) -> Table:
        """As a table; types that somebody chose in CKAN's data dictionary count where the columns are there."""
        info = store.info(self._job.resource)
        chosen = info.overrides if info else ()
        if chosen:
            try:
                return read(source, format, Options(fields=chosen), self._wanted)
            except BadTable as error:
                self._log(f"types of the data dictionary do not fit: {error}")
        return read(source, format, Options(), self._wanted)

    def _fetch(self, resource: Any, target: Path) -> tuple[str, str]:
        """The resource's file; its format and its MD5."""
        limit, seconds = int(self._world.settings.max_download), self._world.settings.download_timeout
        url = str(resource.get("url") or "")
        uploaded = resource.get("url_type") == "upload"
        if uploaded:
            # The site's own idea of its address may be another one than ours.
            path, root = urlsplit(url).path, urlsplit(self._job.site).path
            url = f"{self._job.site}{path.removeprefix(root)}"
        self._world.policy.check_url(url)
        self._log(f"Fetching from: {shown(url)}")
        digest = hashlib.md5(usedforsecurity=False)
        with self._reach(seconds, "the download") as reach:
            http = self._http(self._job.site if uploaded else url, reach, self._key if uploaded else None)
            try:
                with http.stream(url) as answer, target.open("wb") as stream:
                    announced = answer.headers.get("content-length", "")
                    if announced.isdecimal() and int(announced) > limit:
                        raise TooLarge(f"Resource too large to download: {announced} > max ({limit}).")
                    size = 0
                    for piece in answer.chunks(PIECE):
                        size += len(piece)
                        if size > limit:
                            raise TooLarge(f"Resource too large to process: {size} > max ({limit}).")
                        if not self._wanted():
                            raise Interrupted
                        digest.update(piece)
                        stream.write(piece)
                    type = answer.headers.get("content-type", "")
            except PacificaFSError:
                if reach.ended:
                    raise WaitTimeout(reach.ended) from None
                raise
            finally:
                http.close()
        name = unquote(urlsplit(url).path).rpartition("/")[2]
        said = str(resource.get("format") or "")
        return format_of(name, said, type) or format_of(name, "", type), digest.hexdigest()

    def _wanted(self) -> bool:
        if self._over.is_set():
            raise WaitTimeout(f"the job took longer than {self._world.settings.job_timeout:.0f} s")
        return self._go_on()

    def _api(self, reach: Reach) -> Api:
        return Api(self._http(self._job.site, reach, self._key))

    def _store(self, reach: Reach) -> DataStore:
        # Ids are the site's: another site may have the same.
        name = hashlib.sha256(self._job.site.encode()).hexdigest()[:16]
        patience = min(600.0, self._world.settings.job_timeout)
        return DataStore(self._api(reach), self._world.folder / "tables" / name, self._world.clock, patience=patience)

    def _http(self, base: str, reach: Reach, key: Key | None) -> Http:
        settings = self._world.settings
        return Http(
            base, clock=self._world.clock, login=key, judge=judge, agent=self._world.agent, reach=reach,
            verify=self._world.verify, retry=NEVER if key is None else None,
            timeouts=Timeouts(settings.connect_timeout, settings.read_timeout),
        )  # fmt: skip

    @contextmanager
    def _reach(self, seconds: float, what: str, over: threading.Event | None = None) -> Iterator[Reach]:
        """Connections that end after so many seconds, whatever the other side does."""
        reach = Reach(self._world.policy)

        def end() -> None:
            if over is not None:
                over.set()
            reach.cut(f"{what} took longer than {seconds:.0f} s")

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            yield reach
        finally:
            timer.cancel()
            reach.cut("over")


def failure(error: BaseException, text: str) -> dict[str, Any]:
    """An error as the job API has it."""
    code = next((code for kind, code in _CODES if isinstance(error, kind)), None)
    return {"message": text, **({"HTTP status code": code} if code else {})}


__all__ = ["Interrupted", "Work", "World", "failure"]
