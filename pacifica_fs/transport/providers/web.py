"""`http` and `https`: the archive's own server, signed, or any other one, as nobody."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...errors import BadAnswer, PacificaFSError, Stale, Unobtainable
from ..failures import shown
from ..http import Http, Stream
from .contract import Delivery, OneByOne, Remote

# 404: the address is dead; the archive, which lists the file, did not say that it does not exist.
_EXPECTED = (200, 206, 404, 410, 416)
_RANGE = re.compile(r"bytes (\d+)-\d*/(\d+|\*)")
_HANDED_ON = ("x-accel-redirect", "x-sendfile")


class Web(OneByOne):
    """Downloads; redirects are followed without the identity. Ranges where the server's answer is 206."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def download_datafile(self, file: Remote, start: int = 0) -> Delivery:
        """See Provider."""
        return get(self._http, file.url, start, file.validator)


def get(http: Http, url: str, start: int = 0, validator: str = "") -> WebStream:
    """The bytes at `url` (relative to `http`), from `start` if the server can.

    Unobtainable where there are none, Stale where `validator` (a strong ETag) does not hold any more.
    """
    headers = {}
    if start:
        headers["Range"] = f"bytes={start}-"
        if validator:
            headers["If-Range"] = validator
    stream = http.stream(url, headers=headers, expect=_EXPECTED)
    try:
        return checked(stream, start, validator)
    except PacificaFSError:
        stream.close()
        raise


def checked(stream: Stream, start: int, validator: str = "") -> WebStream:
    """`stream`, an answer of one of the expected statuses to a request from `start` on, as what `get` gives."""
    headers = stream.headers
    if stream.status in (404, 410):
        raise Unobtainable(f"{stream.url}: status {stream.status}: nothing is there (any more)")
    if any(name in headers for name in _HANDED_ON):
        # The application left the bytes to a web server in front of it, which was gone around.
        raise Unobtainable(f"{stream.url}: an empty answer that only the site's web server can fill: wrong address?")
    tag = headers.get("etag", "")
    if validator and tag and tag != validator:
        raise Stale(f"{stream.url}: the file changed since it was listed")
    length = headers.get("content-length", "")
    encoded = headers.get("content-encoding", "identity") not in ("", "identity")
    if encoded:
        raise BadAnswer(f"{stream.url}: compressed although that was not asked for")
    tag = "" if tag.startswith("W/") else tag
    if stream.status == 200:
        return WebStream(stream, 0, int(length) if length.isdecimal() else None, tag)
    match = _RANGE.match(headers.get("content-range", ""))
    if stream.status == 416:
        return WebStream(stream, start, None, tag, empty=True)
    if not match or int(match[1]) != start:
        raise BadAnswer(f"{stream.url}: another part than the one asked for: {headers.get('content-range')!r}")
    return WebStream(stream, start, None if match[2] == "*" else int(match[2]), tag)


class WebStream:
    """See Opened."""

    def __init__(self, stream: Stream, start: int, size: int | None, validator: str, empty: bool = False) -> None:
        self._stream = stream
        self._empty = empty
        self.start = start
        self.size = size
        self.validator = validator
        self.url = shown(stream.url)

    def chunks(self) -> Iterator[bytes]:
        """See Opened."""
        return iter(()) if self._empty else self._stream.chunks()

    def close(self) -> None:
        """See Opened."""
        self._stream.close()
