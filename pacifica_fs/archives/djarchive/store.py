"""The bucket: obstore's calls with this program's errors, time-outs and credentials. Nothing else knows obstore.

Threading: every method may be called from any thread and blocks, for at most the configured time-outs.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Literal, TypeVar

import msgspec
import obstore
from obstore import exceptions
from obstore.store import S3Store

from ...errors import BadAnswer, ConfigError, Denied, Exists, NotFound, Stale, Unobtainable, Unreachable

T = TypeVar("T")
TRIES = 3
BUDGET = 15.0
"""Seconds after the first try in which another may begin."""
PART = 8 << 20
"""Bytes of a part of a multipart upload, and the size above which there is one."""
PARTS = 9000
"""S3 takes 10,000 parts."""

_CODE = re.compile(r"<Code>([A-Za-z0-9]{1,60})</Code>")
_UNNAMEABLE = re.compile("[/\x00-\x1f\x7f\ud800-\udfff]")
_STATUS = re.compile(r"status code: (\d{3})")
_NO_BUCKET = "NoSuchBucket"
_WRONG_KEY = frozenset({"SignatureDoesNotMatch", "InvalidAccessKeyId", "ExpiredToken"})


class _Doubtful(Denied):
    """The server does not know who we say that we are, or does not say why it refused (the answer to a HEAD)."""


class Keys(msgspec.Struct, frozen=True):
    """An identity; both empty: anonymous. Never shown."""

    access: str = ""
    secret: str = ""

    def __repr__(self) -> str:
        return "Keys(***)" if self.access else "Keys(anonymous)"


class Place(msgspec.Struct, frozen=True):
    """Where a bucket is. `endpoint` is a URL, `ca` a PEM text that is trusted too; time-outs in seconds."""

    endpoint: str
    bucket: str
    region: str = "us-east-1"
    ca: str = ""
    connect: float = 5.0
    read: float = 60.0
    agent: str = "pacifica-fs"

    def url(self, key: str = "") -> str:
        """What is asked, for a user."""
        return f"{self.endpoint}/{self.bucket}/{key}"


class Object(msgspec.Struct, frozen=True, gc=False):
    """What a bucket says of an object."""

    key: str
    size: int
    mtime_ns: int
    etag: str


class Bucket:
    """One bucket as one identity; `keys` looks the identity up, again once the server refused it."""

    def __init__(self, place: Place, keys: Callable[[], Keys]) -> None:
        self.place = place
        self._lookup = keys
        self._lock = threading.Lock()
        self._keys: Keys | None = None
        self._store: S3Store | None = None

    def get(self, key: str, start: int = 0, stop: int | None = None, etag: str = "") -> tuple[memoryview, Object]:
        """Bytes `[start, stop)` of an object. Stale if it is not the version `etag` any more; NotFound."""
        options: Any = {}
        if etag:
            options["if_match"] = etag
        if stop is not None:
            options["range"] = (start, stop)
        elif start:
            options["range"] = {"offset": start}

        def call(store: S3Store) -> tuple[memoryview, Object]:
            result = obstore.get(store, key, options=options)
            return memoryview(result.bytes()), _object(result.meta)

        return self._ask(key, call)

    def head(self, key: str) -> Object:
        """What is known of an object; NotFound."""
        return self._ask(key, lambda store: _object(obstore.head(store, key)))

    def folders(self, prefix: str) -> list[str]:
        """The names directly below `prefix`, which ends with `/` or is empty; objects there do not count."""

        def call(store: S3Store) -> list[str]:
            found = obstore.list_with_delimiter(store, prefix or None)["common_prefixes"]
            return [path.rstrip("/").rpartition("/")[2] for path in found]

        return self._ask(prefix, call)

    def objects(self, prefix: str) -> Iterator[Object]:
        """All objects below `prefix`, which ends with `/`, by pages of a thousand."""
        pages = iter(self._ask(prefix, lambda store: obstore.list(store, prefix, chunk_size=1000)))
        while True:
            page: Sequence[Any] | None = self._ask(prefix, lambda _: next(pages, None))
            if page is None:
                return
            yield from map(_object, page)

    def put(self, key: str, data: bytes, *, create: bool = False) -> str:
        """Store a small object; its ETag. With `create` only if there is none: Exists."""

        def call(store: S3Store) -> str:
            mode: Literal["create", "overwrite"] = "create" if create else "overwrite"
            result = obstore.put(store, key, data, use_multipart=False, mode=mode, attributes=_OCTETS)
            return str(result["e_tag"] or "")

        return self._ask(key, call)

    def keys(self) -> Keys:
        """As whom it is asked."""
        self._opened()
        return self._keys or Keys()

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; what is not there is fine."""
        if keys:
            self._ask(keys[0], lambda store: obstore.delete(store, list(keys)))

    def _ask(self, key: str, call: Callable[[S3Store], T], again: bool = True) -> T:
        store = self._opened()
        try:
            with self._errors(key):
                return call(store)
        except _Doubtful:
            if not again or not self._renew(store):
                raise
        with self._errors(key):
            return call(self._opened())

    def _opened(self) -> S3Store:
        with self._lock:
            if self._store is None:
                self._keys = self._lookup()
                self._store = _open(self.place, self._keys)
            return self._store

    def _renew(self, refused: S3Store) -> bool:
        """Look the keys up again; True if there are others by now."""
        keys = self._lookup()
        with self._lock:
            if self._store is refused and keys != self._keys:
                self._keys, self._store = keys, _open(self.place, keys)
            return self._store is not refused

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        where = self.place.url(key)
        try:
            yield
        except exceptions.PreconditionError as error:
            raise Stale(f"{where} changed on the server since it was listed") from _brief(error)
        except exceptions.AlreadyExistsError as error:
            raise Exists(f"{where} exists already") from _brief(error)
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            code = _code(error)
            if code in _WRONG_KEY:
                raise _Doubtful(f"{where}: access_key or secret_key is wrong ({code})") from _brief(error)
            kind = Denied if code else _Doubtful
            raise kind(f"{where}: this identity may not do that ({code or 'refused'})") from _brief(error)
        except FileNotFoundError as error:
            if _code(error) == _NO_BUCKET:
                raise self._failure(where, error) from _brief(error)
            raise NotFound(f"{where}: there is no such object") from _brief(error)
        except ValueError as error:
            raise Unobtainable(f"{where!r} is no name that can be asked for") from _brief(error)
        except exceptions.BaseError as error:
            raise self._failure(where, error) from _brief(error)

    def _failure(self, where: str, error: Exception) -> Exception:
        text = str(error)
        if _code(error) == _NO_BUCKET:
            return BadAnswer(f"there is no bucket '{self.place.bucket}' at {self.place.endpoint}")
        status = _STATUS.search(text)
        if status is None:
            if "ertificate" in text or "UnknownIssuer" in text:
                return Unreachable(f"{where}: no trusted TLS connection; is `ca_bundle` right?")
            if "kind: Timeout" in text or "operation timed out" in text:
                return Unreachable(f"{where}: no answer in time")
            if "kind: Connect" in text or "HTTP error" in text or "Http(" in text:
                return Unreachable(f"{where}: no connection")
            return BadAnswer(f"{where}: {text.splitlines()[0][:300]}")
        said = f"status {status[1]}{f' ({code})' if (code := _code(error)) else ''}"
        if status[1][0] == "5" or status[1] == "429":
            return Unreachable(f"{where}: the service is not available: {said}")
        if status[1] in ("401", "403", "407"):
            return Denied(f"{where}: this identity may not do that ({said})")
        return BadAnswer(f"{where}: unexpected answer: {said}")


_OCTETS: Any = {"Content-Type": "application/octet-stream"}


def is_name(text: str) -> bool:
    """True for what can be one component of a key here: S3 itself would take more, its clients do not."""
    return text not in ("", ".", "..") and len(text) <= 1024 and _UNNAMEABLE.search(text) is None


def _open(place: Place, keys: Keys) -> S3Store:
    """Everything is said explicitly: else variables like AWS_SESSION_TOKEN would change who we are."""
    options: Any = {
        "allow_http": place.endpoint.startswith("http://"),
        "connect_timeout": timedelta(seconds=place.connect),
        "timeout": timedelta(seconds=place.read),
        "user_agent": place.agent,
    }
    if place.ca:
        options["root_certificate"] = place.ca
    try:
        return S3Store(
            place.bucket,
            endpoint=place.endpoint,
            region=place.region,
            virtual_hosted_style_request=False,
            access_key_id=keys.access or "anonymous",
            secret_access_key=keys.secret or "anonymous",
            session_token="",
            skip_signature=not keys.access,
            s3_express=False,
            client_options=options,
            retry_config={
                "max_retries": TRIES - 1,
                "retry_timeout": timedelta(seconds=BUDGET),
                "backoff": {
                    "init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=2), "base": 2,
                },
            },
        )  # fmt: skip
    except (exceptions.BaseError, ValueError) as error:
        raise ConfigError(f"{place.url()}: {str(error).splitlines()[0]}") from _brief(error)


def _object(meta: Any) -> Object:
    time = meta["last_modified"]
    mtime_ns = int(time.timestamp()) * 10**9 + time.microsecond * 1000
    return Object(meta["path"], meta["size"], mtime_ns, str(meta["e_tag"] or ""))


def _code(error: Exception) -> str:
    found = _CODE.search(str(error))
    return found[1] if found else ""


def _brief(error: Exception) -> Exception:
    """A cause that may be logged: the library's own text repeats the server's, which may quote what was signed."""
    return type(error)(str(error).splitlines()[0][:300].partition("<?xml")[0])
