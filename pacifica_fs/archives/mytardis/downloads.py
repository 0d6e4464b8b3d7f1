"""Bytes at the archive's own download address, and what each refusal of it means."""

from __future__ import annotations

import threading

from cachetools import TTLCache

from ...clock import Clock
from ...errors import Denied, Embargoed, PacificaFSError, Unobtainable, Unreachable, Unverified
from ...transport.http import Stream
from ...transport.providers import Delivery, OneByOne, Remote
from ...transport.providers.web import checked
from .client import Client, id_of
from .options import Options

_ANSWERS = (200, 206, 404, 416, 500)
AGAIN = 1.0  # seconds before a 500 is believed
REASONS_FOR = 60.0
EMBARGO, METADATA = 25, 50


class Downloads(OneByOne):
    """The provider of the archive's own files. Any thread may use it.

    Whether parts can be asked for depends on the web server in front (nginx, an object store): each download asks for
    all "from 0" as a part, and a 206 tells.
    """

    def __init__(self, client: Client, options: Options, clock: Clock) -> None:
        self._client = client
        self._options = options
        self._clock = clock
        self._lock = threading.Lock()
        self._reasons: TTLCache[str, int] = TTLCache(1000, REASONS_FOR, clock.monotonic)
        self.ranges = options.ranges == "yes"

    def download_datafile(self, file: Remote, start: int = 0) -> Delivery:
        """See Provider. Unverified, Unobtainable (gone), Embargoed, Denied: each says why."""
        headers = {} if self._options.ranges == "no" or not file.size else {"Range": f"bytes={start}-"}
        path = f"/api/v1/dataset_file/{file.id}/download/"
        stream = self._get(path, headers, file)
        if stream.status == 500:
            stream.close()
            self._clock.sleep(AGAIN)
            stream = self._get(path, headers, file)
        try:
            self._judge(stream, file)
            found = checked(stream, start)
        except PacificaFSError:
            stream.close()
            raise
        if stream.status == 206 and self._options.ranges == "auto":
            self.ranges = True
        return found

    def _get(self, path: str, headers: dict[str, str], file: Remote) -> Stream:
        try:
            return self._client.http.stream(path, headers=headers, expect=_ANSWERS)
        except Denied as refused:
            raise self._refusal(file, refused) from refused

    def _judge(self, stream: Stream, file: Remote) -> None:
        kind = stream.headers.get("content-type", "")
        # Frameworks call an empty answer a page, too.
        page = "html" in kind and stream.headers.get("content-length") != "0"
        if stream.status == 404:
            if page:
                raise Unobtainable(f"{stream.url}: the site lists the file, but its bytes are gone")
            if "json" in kind:
                raise Unobtainable(f"{stream.url}: the site does not know this file any more")
            raise Unverified(f"{stream.url}: the site has no verified copy of this file")
        if stream.status == 500:
            raise Unobtainable(f"{stream.url}: the site cannot read its copy of this file: it may be gone (status 500)")
        if (
            page
            and stream.status != 416
            and "html" not in file.mime_type
            and "content-disposition" not in stream.headers
        ):
            raise Unreachable(f"{stream.url} answered with a web page: a login page, or something between")

    def _refusal(self, file: Remote, refused: Denied) -> Denied:
        """Why the bytes are refused: what is public of the experiments that the file belongs to."""
        self._client.signed_in()
        try:
            access = self._access(file.id)
        except PacificaFSError:
            return refused
        if access == METADATA:
            return Denied(f"{file.path}: only the description of this experiment is public, not its files")
        if access == EMBARGO:
            return Embargoed(f"{file.path}: this experiment is under embargo: its files are not released yet")
        return Denied(f"{file.path}: this identity may see the file, but not download it")

    def _access(self, id: str) -> int:
        with self._lock:
            known = self._reasons.get(id)
        if known is None:
            dataset = self._client.row("dataset", id_of(self._client.row("dataset_file", id).get("dataset")))
            known = 0
            for uri in dataset.get("experiments") or ():
                try:
                    row = self._client.row("experiment", id_of(uri))
                except PacificaFSError:
                    continue
                known = max(known, int(row.get("public_access") or 0))
            with self._lock:
                self._reasons[id] = known
        return known
