"""The reading side of a bucket: names from prefixes, files from manifests, bytes by ranges."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TypeVar, cast

import msgspec
from cachetools import LRUCache, TTLCache

from ...archive import Arrival, Capabilities, Data, Waiting, Where
from ...clock import Clock
from ...errors import BadAnswer, Corrupt, Invalid, NotFound, PacificaFSError, Stale, Unobtainable
from ...model import Container, FileRef, Group, Health, Listing, View
from ...transport.workers import Workers
from . import manifest
from .listing import listed, loose
from .options import Chosen
from .store import Bucket, Object, is_name
from .windows import FIRST, Budget, Piece, waiting_for, windows

T = TypeVar("T")
DATASET = "dataset"
BATCH = 32
THREADS = 64
AHEAD_BYTES = 64 << 20
PINS = 100_000
"""Objects whose version is remembered, so that no file is a mixture of two."""
CONFIRMED = 2.0
"""Seconds for which a manifest that was asked for is taken for the current one."""


class DJArchive:
    """Implements `archive.Archive` and `archive.Finder`: containers are `DATASET/REVISION`."""

    kind = "djarchive"
    views = (View("", (DATASET,), purpose="revisions of each dataset", unlisted=True),)

    def __init__(
        self, name: str, bucket: Bucket, identity: str, chosen: Chosen, clock: Clock, log: logging.Logger
    ) -> None:
        self.name = name
        self.identity = identity
        self.capabilities = Capabilities(ranges=True, batch=BATCH, instant=True, parallel=chosen.parallel, gathers=True)
        self._bucket = bucket
        self._chosen = chosen
        self._clock = clock
        self._log = log
        self._workers = Workers(f"djarchive {name}", THREADS)
        self._budget = Budget(AHEAD_BYTES)
        self._lock = threading.Lock()
        self._pins: LRUCache[tuple[str, str], str] = LRUCache(PINS)
        self._confirmed: TTLCache[str, str] = TTLCache(1000, CONFIRMED, clock.monotonic)

    # -- names

    def groups(self, dimension: str, where: Where) -> Listing[Group]:
        """The datasets: the bucket's prefixes, by name."""
        if dimension != DATASET or where:
            raise NotFound(f"{self.name}: there are datasets and their revisions, and no {dimension}")
        return Listing(tuple(Group(name) for name in self._datasets()))

    def containers(self, where: Where, limit: int) -> Listing[Container]:
        """Revisions of one dataset, or of all, the newest manifest first.

        A revision is complete by its manifest, which is asked for at each of them, several at once.
        """
        if set(where) - {DATASET}:
            raise NotFound(f"{self.name}: there are only datasets and their revisions")
        wanted = where.get(DATASET)
        datasets = self._datasets() if wanted is None else [wanted]
        listed = self._all([partial(self._revisions, name) for name in datasets])
        if wanted is not None and not listed[0]:
            raise NotFound(f"{self.name}: there is no dataset {wanted!r}")
        ids = [f"{dataset}/{revision}" for dataset, found in zip(datasets, listed, strict=True) for revision in found]
        found = self._all([partial(self._complete, id) for id in ids])
        entries = [container for container in found if container is not None]
        entries.sort(key=lambda one: (one.mtime_ns, one.id), reverse=True)
        return Listing(tuple(entries[:limit]), len(entries) <= limit)

    def find_group(self, dimension: str, where: Where, name: str) -> Group:
        """A dataset: whether there is anything below its prefix."""
        if dimension != DATASET or where or not self._revisions(name):
            raise NotFound(f"{self.name}: there is no {dimension} {name!r}")
        return Group(name)

    def find_container(self, where: Where, name: str) -> Container:
        """A revision, from a HEAD of its manifest."""
        return self.container(f"{where.get(DATASET, '')}/{name}")

    def container(self, id: str) -> Container:
        """One revision, from a HEAD of its manifest."""
        self._check(id)
        found = self._complete(id)
        if found is None:
            raise NotFound(f"{self.name}: there is no revision {id!r}")
        return found

    def files(self, container: str) -> Sequence[FileRef]:
        """All files, from one GET of the manifest, which is a file, too."""
        self._check(container)
        key = _key(container, manifest.NAME)
        try:
            data, about = self._bucket.get(key)
        except NotFound:
            if self._chosen.incomplete:
                prefix = _key(container, "")
                if found := loose(self.name, container, prefix, self._bucket.objects(prefix)):
                    return found
            raise NotFound(f"{self.name}: there is no revision {container!r}") from None
        self._log.debug("%s: manifest %s, %d bytes", container, about.etag, about.size)
        times = None
        if self._chosen.object_times:
            times = {each.key: each.mtime_ns for each in self._bucket.objects(_key(container, ""))}
        table = listed(self.name, container, data, about, times, self._bucket.place.url(key))
        return cast("Sequence[FileRef]", table)

    # -- bytes

    def open(self, files: Sequence[FileRef], *, start: int = 0, attempt: int = 0) -> Iterator[Arrival]:
        """See Archive. Stale where the revision, or an object that was read before, was overwritten."""
        if start and len(files) != 1:
            raise Invalid("an offset makes sense for a single file only")
        if len(files) > 1 and not attempt:
            yield from self._gather(files)
            return
        for index, file in enumerate(files):
            if attempt:
                self._unchanged(file)  # what came before was wrong: is it because there is another revision now?
            waiting = Waiting("waiting for the bucket", self._bucket.place.url(file.id))
            fetch = partial(self._piece, file)
            for each in windows(fetch, start, file.size, self._workers, self._budget, waiting):
                if isinstance(each, Waiting):
                    yield each
                    continue
                offset, (data, about) = each
                self._judge(file, about)
                yield Data(index, offset, data)
            self._log.debug("%s: fetched", file.id)

    def probe(self) -> Health:
        """Whether the bucket can be listed."""
        begun = self._clock.monotonic()
        service = self._bucket.place.url()
        try:
            self._datasets()
        except PacificaFSError as error:
            return Health(False, self.identity, error=str(error), services={service: str(error)})
        return Health(True, self.identity, self._clock.monotonic() - begun, services={service: "ok"})

    def close(self) -> None:
        """Nothing is held: connections end by themselves."""
        self._workers.close()

    def _gather(self, files: Sequence[FileRef]) -> Iterator[Arrival]:
        """Files in their order. The small ones are asked for several at once, each worker going on with the next of its
        own: handing over every one of them would cost as much as fetching it.
        """
        small = [index for index, file in enumerate(files) if 0 < file.size <= FIRST]
        pieces: dict[int, Future[Piece]] = {index: Future() for index in small}
        stop = threading.Event()
        for lane in range(min(self._chosen.parallel, len(small))):
            self._workers(partial(self._lane, files, pieces, small[lane :: self._chosen.parallel], stop))
        try:
            for index, file in enumerate(files):
                future = pieces.get(index)
                if future is None:
                    yield from (
                        msgspec.structs.replace(each, index=index) if isinstance(each, Data) else each
                        for each in self.open([file])
                    )
                    continue
                if not future.done():
                    yield from waiting_for(future, Waiting("waiting for the bucket", self._bucket.place.url(file.id)))
                data, about = future.result()
                del pieces[index]
                self._judge(file, about)
                yield Data(index, 0, data)
        finally:
            stop.set()

    def _lane(
        self, files: Sequence[FileRef], pieces: Mapping[int, Future[Piece]], lane: Sequence[int], stop: threading.Event
    ) -> None:
        """Fetch some of the files one after the other; runs in a worker."""
        for index in lane:
            if stop.is_set():
                return
            future = pieces[index]
            try:
                future.set_result(self._piece(files[index], 0, files[index].size))
            except BaseException as error:  # noqa: BLE001 - handed to whoever waits for it
                future.set_exception(error)

    # -- inside

    def _datasets(self) -> list[str]:
        return sorted(filter(is_name, self._bucket.folders("")))

    def _revisions(self, dataset: str) -> list[str]:
        if not is_name(dataset):
            raise NotFound(f"{self.name}: there is no dataset {dataset!r}")
        return [name for name in self._bucket.folders(f"{dataset}/") if is_name(name)]

    def _complete(self, id: str) -> Container | None:
        """The revision `id` if there is one and it is to be shown."""
        dataset, _, revision = id.partition("/")
        info = {DATASET: dataset, "revision": revision, "bucket": self._bucket.place.url()}
        key = _key(id, manifest.NAME)
        try:
            about = self._bucket.head(key)
        except NotFound:
            if not self._chosen.incomplete or next(self._bucket.objects(_key(id, "")), None) is None:
                return None
            return Container(self.name, id, 0, {**info, "complete": False}, revision)
        more = {"complete": True, "manifest": {"bytes": about.size, "etag": about.etag}}
        return Container(self.name, id, about.mtime_ns, {**info, **more}, revision)

    def _check(self, id: str) -> None:
        dataset, _, revision = id.partition("/")
        if not is_name(dataset) or not is_name(revision):
            raise NotFound(f"{self.name}: {id!r} is not DATASET/REVISION")

    def _pin(self, file: FileRef) -> str:
        """The version of the file's object that must be read; "" if any will do, since it was not read before."""
        if file.digest is None:
            return file.validator or ""
        with self._lock:
            return self._pins.get((file.id, file.validator or ""), "")

    def _piece(self, file: FileRef, start: int, stop: int) -> Piece:
        """One range; runs in a worker."""
        whole = start == 0 and stop == file.size
        try:
            data, about = self._bucket.get(file.id, start, None if whole else stop, self._pin(file))
        except Stale:
            self._unchanged(file)
            raise Stale(f"{file.id} was overwritten on the server while it was read") from None
        except NotFound:
            self._unchanged(file)
            raise Unobtainable(f"{file.id} is in the manifest, but not in the bucket") from None
        except BadAnswer:
            self._unchanged(file)  # such as a range that the object does not have
            raise
        if about.size != file.size:
            self._unchanged(file)
            raise Corrupt(f"{file.id} has {about.size} bytes in the bucket, {file.size} by the manifest")
        if len(data) != stop - start:
            raise BadAnswer(f"{file.id}: {len(data)} bytes came, {stop - start} were asked for")
        return data, about

    def _judge(self, file: FileRef, about: Object) -> None:
        """Pin what was seen first; Stale if this is another version."""
        pin = self._pin(file)
        if pin and about.etag != pin:
            self._unchanged(file)
            raise Stale(f"{file.id} was overwritten on the server while it was read")
        if pin or file.digest is None:
            return
        if about.mtime_ns > file.mtime_ns:
            with self._lock:
                confirmed = self._confirmed.get(file.container)
            if confirmed != file.validator:
                self._unchanged(file)  # a manifest is uploaded last
        with self._lock:
            self._pins[file.id, file.validator or ""] = about.etag

    def _unchanged(self, file: FileRef) -> None:
        """Stale if the revision has another manifest by now than the one `file` is from, or none."""
        if file.validator is None or file.digest is None:
            return
        try:
            about = self._bucket.head(_key(file.container, manifest.NAME))
        except NotFound:
            raise Stale(f"the revision {file.container} was removed from the server") from None
        if about.etag != file.validator:
            raise Stale(f"the revision {file.container} was overwritten on the server; list it again")
        with self._lock:
            self._confirmed[file.container] = about.etag

    def _all(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """The results of all calls, made several at once; raises the first error."""
        if len(calls) == 1:
            return [calls[0]()]
        futures: list[Future[T]] = [self._workers(call) for call in calls]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()


def _key(container: str, path: str) -> str:
    return f"{container}/{path}"
