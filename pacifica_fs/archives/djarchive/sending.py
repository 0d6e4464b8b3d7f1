"""The files of a bundle on their way into the bucket: several at once, each read once, hashed while it goes out."""

from __future__ import annotations

import hashlib
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from functools import partial

from ...errors import Corrupt, NotFound, Stale
from ...model import Bundle, BundleFile
from ...transport.workers import Workers
from . import manifest
from .multipart import Multipart
from .sent import Sent
from .store import PART, PARTS, Bucket

FILES = 8
"""Files that are sent at once."""
LARGE = 2
"""Files of more than one part among them: each takes the memory of several parts."""
AT_ONCE = 4
"""Parts of one large file that are sent at once."""
WAITING = 16
"""Pieces that may go out before the caller has heard of the first: what it does with that slows them down."""


class _Stopped(Exception):
    """Another file failed, or the caller does not want any more."""


class Sending:
    """Sends what `before` does not know, into the revision `id`. One call for each object of this class."""

    def __init__(self, bucket: Bucket, multipart: Multipart, id: str, before: Sent, log: logging.Logger) -> None:
        self._bucket = bucket
        self._multipart = multipart
        self._id = id
        self._before = before
        self._log = log
        self._stop = threading.Event()
        self._pieces: queue.Queue[int] = queue.Queue(WAITING)
        self._workers = Workers("djarchive send", FILES)
        self._large = threading.Semaphore(LARGE)
        self._parts = Workers("djarchive parts", LARGE * AT_ONCE)
        self._lock = threading.Lock()
        self._left = 0
        self._error: BaseException | None = None

    def __call__(self, bundle: Bundle, sent: Callable[[int], None]) -> None:
        """Returns once all files are in the bucket; `sent` as in Inbox, called by this thread.

        Raises what `sent` raises, Corrupt, or the first error of the bucket; nothing is on its way then.
        """
        there = self._before.there(self._bucket.objects(f"{self._id}/"), f"{self._id}/") if self._before else {}
        total = 0
        todo: list[BundleFile] = []
        for file in bundle.files:
            if file.path == manifest.NAME:
                continue
            if there.get(file.path) == (file.digest.value, file.size):
                total += file.size
            else:
                todo.append(file)
        if len(todo) < len(bundle.files):
            self._log.debug("%s: %d files are there from an earlier try", self._id, len(bundle.files) - len(todo))
        sent(total)
        # The largest first, so that none of them is left alone at the end.
        todo.sort(key=lambda file: -file.size)
        self._left = len(todo)
        futures = [self._workers(partial(self._send, file)) for file in todo]
        try:
            while self._left or not self._pieces.empty():
                try:
                    total += self._pieces.get(timeout=0.1)
                except queue.Empty:
                    pass
                else:
                    sent(total)
                if self._error is not None:
                    raise self._error
            self._compare(bundle)
        finally:
            self._end(futures)

    def _compare(self, bundle: Bundle) -> None:
        """Nobody else may have written into the revision meanwhile."""
        there = self._before.there(self._bucket.objects(f"{self._id}/"), f"{self._id}/")
        for file in bundle.files:
            if file.path != manifest.NAME and there.get(file.path) != (file.digest.value, file.size):
                raise Stale(f"{self._id}/{file.path} is not what was sent: does somebody else publish {self._id}?")

    def _end(self, futures: list[Future[None]]) -> None:
        """Nothing is on its way when this returns."""
        self._stop.set()
        for future in futures:
            future.cancel()
        while any(future.running() for future in futures):
            try:
                self._pieces.get(timeout=0.05)
            except queue.Empty:
                pass
        self._workers.close()
        self._parts.close()

    def _send(self, file: BundleFile) -> None:
        """One file, in a worker."""
        try:
            etag = self._put(f"{self._id}/{file.path}", file)
            self._before.note(file.path, file.digest.value, etag)
            self._log.debug("%s/%s: sent", self._id, file.path)
        except BaseException as error:
            with self._lock:
                self._error = self._error or error
            raise
        finally:
            with self._lock:
                self._left -= 1

    def _put(self, key: str, file: BundleFile) -> str:
        if file.size <= PART:
            return self._bucket.put(key, b"".join(self._checked(file, PART)))
        part = max(PART, -(-file.size // PARTS))
        with self._large:
            return self._put_parts(key, file, part)

    def _put_parts(self, key: str, file: BundleFile, part: int) -> str:
        """A large file. What an earlier try sent of it is read, since all of it is checked, but not sent again."""
        upload, there = self._begun(key, file, part)
        etags: dict[int, str] = {}
        flying: deque[tuple[int, Future[str]]] = deque()
        try:
            for number, data in enumerate(self._checked(file, part), 1):
                etag, size = there.get(number, ("", -1))
                if size == len(data) and etag.strip('"') == hashlib.md5(data, usedforsecurity=False).hexdigest():
                    etags[number] = etag
                    continue
                while len(flying) >= AT_ONCE:
                    done, future = flying.popleft()
                    etags[done] = future.result()
                flying.append((number, self._parts(partial(self._multipart.put, key, upload, number, data))))
            etags |= {number: future.result() for number, future in flying}
            return self._multipart.complete(key, upload, etags)
        except Corrupt:
            self._multipart.abort(key, upload)
            self._before.begun(file.path, file.digest.value, part, "")
            raise
        finally:
            for _, future in flying:
                future.cancel()
            wait(future for _, future in flying)

    def _begun(self, key: str, file: BundleFile, part: int) -> tuple[str, dict[int, tuple[str, int]]]:
        """An upload in parts of this file, and what the server has of it."""
        upload = self._before.upload(file.path, file.digest.value, part)
        if upload:
            try:
                there = self._multipart.parts(key, upload)
                self._log.debug("%s: %d parts are there from an earlier try", key, len(there))
                return upload, there
            except NotFound:
                pass  # it was given up meanwhile
        upload = self._multipart.begin(key)
        self._before.begun(file.path, file.digest.value, part, upload)
        return upload, {}

    def _checked(self, file: BundleFile, part: int) -> Iterator[bytes]:
        """Its bytes; the last piece only if all of it is what it was when it was sealed."""
        hasher = hashlib.sha256()
        held, size = b"", 0
        try:
            with file.source.open("rb", buffering=0) as stream:
                while data := _read(stream.read, part):
                    hasher.update(data)
                    size += len(data)
                    if held:
                        yield self._passed(held)
                    held = data
        except OSError as error:
            raise Corrupt(f"{file.path} cannot be read: {error.strerror}") from error
        if size != file.size or hasher.hexdigest() != file.digest.value:
            raise Corrupt(f"{file.path} is not what it was when the bundle was complete")
        if held:
            yield self._passed(held)

    def _passed(self, data: bytes) -> bytes:
        if self._stop.is_set():
            raise _Stopped
        self._pieces.put(len(data))
        return data


def _read(read: Callable[[int], bytes], size: int) -> bytes:
    """As many bytes as there are, up to `size`: a raw read may give fewer at a time."""
    pieces: list[bytes] = []
    while size > 0 and (data := read(size)):
        pieces.append(data)
        size -= len(data)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
