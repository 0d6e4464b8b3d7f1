"""One server over HTTP: sessions, time-outs, retries, and failures as `pacifica_fs.errors`.

Threading: one `Http` serves any number of threads. Every call ends: connecting and each wait for bytes have time-outs,
and a small answer has a deadline as a whole.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator, Mapping
from http.cookiejar import DefaultCookiePolicy
from types import TracebackType
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

import msgspec
import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from ..clock import Clock
from ..errors import BadAnswer, PacificaFSError, Unreachable
from .credentials import Anonymous, Login
from .failures import OUTAGE, Answer, Judge, outage, refusal, shown
from .retry import NEVER, Retry, retry_after
from .wire import Wire

MIB = 2**20
POOL = 64
REDIRECTS = 5
Params = Mapping[str, str | int]
_FAILURES = (requests.exceptions.RequestException, HTTPError, OSError)


class Timeouts(msgspec.Struct, frozen=True):
    """Seconds: to connect, and between two pieces of an answer."""

    connect: float = 10.0
    read: float = 60.0


class Body(Protocol):
    """An upload of known length, passed on piece by piece."""

    def __len__(self) -> int:
        """Bytes of all pieces."""

    def __iter__(self) -> Iterator[bytes]:
        """The pieces."""


class Http:
    """A server at `base`; paths of the methods are relative to it.

    Redirects are followed for GET and HEAD only, at most five. The identity stays with `base`: neither another server
    that one leads to gets to see it, nor one whose absolute address is given as a path. Bodies of answers that are not
    streamed have at most `limit` bytes. `judge` may know better what an unexpected answer of this server means. Proxies
    of the environment are used, but not for loopback addresses.
    """

    def __init__(
        self,
        base: str,
        *,
        clock: Clock,
        login: Login | None = None,
        verify: bool | str = True,
        timeouts: Timeouts | None = None,
        retry: Retry | None = None,
        judge: Judge | None = None,
        agent: str = "pacifica-fs",
        limit: int = 256 * MIB,
    ) -> None:
        self.base = base.rstrip("/")
        self.timeouts = timeouts or Timeouts()
        self._clock = clock
        self._login = login or Anonymous()
        self._verify = verify
        self._retry = retry or Retry()
        self._judge = judge
        self._agent = agent
        self._limit = limit
        self._session = self._new_session()

    def url(self, *parts: object) -> str:
        """The address of a path below `base`, its components quoted."""
        return "/".join([self.base, *(quote(str(part), safe="") for part in parts)])

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        json: object = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        expect: Collection[int] = (200,),
        absent: bool = False,
        repeat: bool | None = None,
        timeouts: Timeouts | None = None,
    ) -> Answer:
        """The whole answer, whose status is one of `expect`; else an error.

        The body is `json`, or `data` as it is. `absent`: 404 means NotFound here.
        `repeat`: whether sending it twice is harmless; default: GET, HEAD, DELETE.
        """
        repeat = method in ("GET", "HEAD", "DELETE") if repeat is None else repeat
        options = {"params": params, "json": json, "headers": headers, "timeouts": timeouts or self.timeouts}
        if data is not None:
            options["data"] = data
        response = self._send(method, path, self._retry if repeat else NEVER, expect, absent, options)
        with response:
            return self._whole(response)

    def json(self, method: str, path: str, **options: Any) -> Any:
        """As `request`; the answer's JSON."""
        return self.request(method, path, **options).json()

    def stream(
        self,
        path: str,
        *,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        expect: Collection[int] = (200,),
        absent: bool = False,
        timeouts: Timeouts | None = None,
    ) -> Stream:
        """GET whose body is read piece by piece; a context manager."""
        headers = {"Accept-Encoding": "identity", **(headers or {})}
        options = {"params": params, "headers": headers, "timeouts": timeouts or self.timeouts}
        return Stream(self._send("GET", path, self._retry, expect, absent, options))

    def upload(
        self,
        path: str,
        body: Body,
        *,
        content_type: str = "application/octet-stream",
        expect: Collection[int] = (200,),
        timeouts: Timeouts | None = None,
        wire: Wire | None = None,
    ) -> Answer:
        """POST of a long body, once, never repeated; `wire` sees its connection.

        On a connection of its own: a pooled one that the server had closed meanwhile would swallow a short body whole.
        """
        headers = {"Content-Type": content_type}
        options = {"headers": headers, "data": body, "timeouts": timeouts or self.timeouts}
        with self._new_session() as session:
            if wire is not None:
                session.mount("http://", wire.adapter())
                session.mount("https://", wire.adapter())
            response = self._send("POST", path, NEVER, expect, False, options, session)
            with response:
                return self._whole(response)

    def close(self) -> None:
        """Give back the connections."""
        self._session.close()

    def _new_session(self) -> _Session:
        session = _Session(self.base)
        adapter = HTTPAdapter(pool_connections=4, pool_maxsize=POOL, max_retries=0)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        session.headers["User-Agent"] = self._agent
        session.trust_env = not _is_loopback(self.base)
        session.cert = self._login.cert
        session.auth = self._login.auth
        session.max_redirects = REDIRECTS
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        return session

    def _send(
        self,
        method: str,
        path: str,
        retry: Retry,
        expect: Collection[int],
        absent: bool,
        options: dict[str, Any],
        session: _Session | None = None,
    ) -> requests.Response:
        begun = self._clock.monotonic()
        tried, renewed = 0, False
        while True:
            tried += 1
            after = None
            try:
                response = self._once(session or self._session, method, path, options)
                if response.status_code in expect:
                    return response
                with response:
                    answer = self._whole(response)
                # The secret may have changed since it was looked up; a body that is a stream is gone, though.
                if answer.status == 401 and not renewed and "data" not in options:
                    renewed = self._login.renew(response.request.headers.get("Authorization") or "")
                    if renewed:
                        continue
                error = (self._judge(answer) if self._judge else None) or refusal(answer, absent)
                if answer.status in OUTAGE:
                    after = retry_after(answer.headers.get("retry-after"), self._clock.now())
            except Unreachable as failure:
                error = failure
            pause = None
            if isinstance(error, Unreachable):
                pause = retry.pause(tried, self._clock.monotonic() - begun, after)
            if pause is None:
                raise error
            self._clock.sleep(pause)

    def _once(self, session: _Session, method: str, path: str, options: dict[str, Any]) -> requests.Response:
        options = dict(options)
        timeouts: Timeouts = options.pop("timeouts")
        url = path if "://" in path else f"{self.base}/{path.lstrip('/')}"
        try:
            return session.request(
                method,
                url,
                stream=True,
                timeout=(timeouts.connect, timeouts.read),
                auth=None if session.belongs(url) else Anonymous().auth,
                verify=self._verify,  # said for each request, or the environment's bundle would win
                allow_redirects=method in ("GET", "HEAD"),
                **options,
            )
        except PacificaFSError:
            raise
        except _FAILURES as error:
            raise outage(error, url) from error

    def _whole(self, response: requests.Response) -> Answer:
        """The answer with its body, read within the limit and within ten times the read time-out."""
        url = shown(response.url)
        deadline = self._clock.monotonic() + 10 * self.timeouts.read
        pieces, size = [], 0
        try:
            for piece in response.iter_content(MIB):
                pieces.append(piece)
                size += len(piece)
                if size > self._limit:
                    raise BadAnswer(f"{url}: the answer is longer than {self._limit} bytes")
                if self._clock.monotonic() > deadline:
                    raise Unreachable(f"{url}: the answer does not end")
        except _FAILURES as error:
            raise outage(error, response.url) from error
        headers = {key.lower(): value for key, value in response.headers.items()}
        return Answer(response.status_code, headers, b"".join(pieces), url)


class Stream:
    """The body of an answer while it arrives. For one thread; close it (`with`) in any case."""

    def __init__(self, response: requests.Response) -> None:
        self._response = response
        self.status = response.status_code
        self.url = shown(response.url)
        self.headers = {key.lower(): value for key, value in response.headers.items()}

    def chunks(self, largest: int = MIB) -> Iterator[bytes]:
        """The bytes in pieces: small ones first, so that the first come soon, then up to `largest`.

        Unreachable if it breaks off, or ends before the announced length.
        """
        raw: Any = self._response.raw
        size, received = min(64 * 1024, largest), 0
        while True:
            try:
                piece: bytes = raw.read(size)
            except _FAILURES as error:
                raise outage(error, self._response.url) from error
            if not piece:
                break
            received += len(piece)
            size = min(largest, size * 2)
            yield piece
        announced = self.headers.get("content-length", "")
        if announced.isdecimal() and received < int(announced):
            raise Unreachable(f"{self.url}: broke off after {received} of {announced} bytes")

    def close(self) -> None:
        """Give the connection back, or close it if bytes are left."""
        self._response.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Session(requests.Session):
    """Signs requests to its base's server only; the library would also look into netrc for whoever is led to."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self._base = base

    def belongs(self, url: str) -> bool:
        """Whether `url` is at the base's server (or its own https)."""
        return not self.should_strip_auth(self._base, url)  # type: ignore[no-untyped-call]

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Called for each redirect."""
        url = prepared_request.url or ""
        prepared_request.headers.pop("Authorization", None)
        if self.belongs(url) and self.belongs(response.request.url or ""):
            prepared_request.prepare_auth(self.auth, url)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
