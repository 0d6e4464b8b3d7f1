"""What a failed request means: the table from HTTP and its library to `pacifica_fs.errors`.

No message made here has a secret in it: user information and the values of secret-looking query fields are left out of
URLs.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec
import requests
from urllib3.exceptions import NewConnectionError

from ..errors import BadAnswer, ConfigError, Denied, NotFound, PacificaFSError, Unreachable

_SECRET = re.compile(r"token|secret|passw|signature|credential|auth|api_?key|access_?key", re.IGNORECASE)
_TAG = re.compile(r"<(style|script)\b.*?</\1>|<[^>]*>", re.IGNORECASE | re.DOTALL)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_ALERT = re.compile(
    r"alert (certificate|bad certificate|unsupported certificate|unknown ca|access denied)", re.IGNORECASE
)
OUTAGE = frozenset({429, 502, 503, 504, 520, 521, 522, 523, 524, 530})
EXCERPT = 200


class Answer(msgspec.Struct, frozen=True):
    """A whole answer: status, headers (by lower-case name), body, and the URL as it may be shown."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    def json(self) -> Any:
        """The body as JSON; `Unreachable` for a web page (a proxy's or a login page), else BadAnswer."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if self.html:
                raise Unreachable(f"{self.url} answered with a web page instead of data: {excerpt(self)}") from error
            raise BadAnswer(f"{self.url} answered something that is not JSON: {excerpt(self)}") from error

    @property
    def html(self) -> bool:
        """True for a web page, whoever made it; frameworks call an empty answer that, too."""
        start = self.body[:200].lstrip().lower()
        is_html = "html" in self.headers.get("content-type", "")
        return (is_html and bool(start)) or start.startswith((b"<!doctype html", b"<html"))


Judge = Callable[[Answer], PacificaFSError | None]


def shown(url: str) -> str:
    """`url` as it may be shown to anybody."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    query = [(key, "***" if _SECRET.search(key) else value) for key, value in parse_qsl(parts.query, True)]
    return urlunsplit((parts.scheme, host, parts.path, urlencode(query, safe="*/:,"), ""))


def excerpt(answer: Answer) -> str:
    """The first characters of a body, on one line, without markup."""
    text = answer.body[:20_000].decode("utf-8", "replace")
    if answer.html:
        title = _TITLE.search(text)
        text = html.unescape(_TAG.sub(" ", title[1] if title else text))
    return " ".join(text.split())[:EXCERPT] or "(nothing)"


def refusal(answer: Answer, absent: bool = False) -> PacificaFSError:
    """The error that an unexpected `answer` means. `absent`: by contract, 404 says that the thing does not exist."""
    said = f"{answer.url}: status {answer.status}: {excerpt(answer)}"
    if answer.status == 404 and absent and not answer.html:
        return NotFound(said)
    if answer.status == 401:
        return Denied(f"the login is not accepted; are `auth` and its password right? {said}")
    if answer.status == 403:
        return Denied(f"this identity may not do that, or is not known there: {said}")
    if answer.status == 400 and answer.html and "SSL certificate" in said:  # in nginx's words
        return Denied(f'a client certificate is asked for; see `auth`, type "clientssl": {said}')
    if (
        answer.status in OUTAGE
        or answer.status == 407
        or (answer.html and (answer.status >= 500 or answer.status < 300))
    ):
        return Unreachable(f"the service is not available: {said}")
    if 300 <= answer.status < 400:
        where = shown(answer.headers.get("location", "?"))
        return BadAnswer(f"{answer.url} redirects to {where}: the configured address is not the right one")
    return BadAnswer(f"unexpected answer: {said}")


def outage(error: Exception, url: str) -> PacificaFSError:
    """The error that an exception of the HTTP library means."""
    url = shown(url)
    if isinstance(error, PacificaFSError):
        return error
    if _ALERT.search(_reason(error)):
        return Denied(f'{url}: a client certificate is asked for; see `auth`, type "clientssl" ({_reason(error)})')
    if isinstance(error, requests.exceptions.SSLError):
        return Unreachable(f"{url}: no trusted TLS connection ({_reason(error)}); is `ca_bundle` right?")
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return Unreachable(f"{url}: no connection in time")
    if isinstance(error, requests.exceptions.Timeout):
        return Unreachable(f"{url}: no answer in time")
    if isinstance(error, requests.exceptions.TooManyRedirects):
        return BadAnswer(f"{url}: redirects without end")
    if isinstance(error, requests.exceptions.RequestException) and isinstance(error, ValueError):
        return ConfigError(f"{url}: not a usable address: {error}")
    if isinstance(error, OSError) and "certificate bundle" in str(error):
        return ConfigError(f"{url}: the CA bundle cannot be used: {error}")
    return Unreachable(f"{url}: {_reason(error)}")


def _reason(error: BaseException) -> str:
    """The innermost cause in a few words; the outer texts of the library repeat URL and object addresses."""
    seen: BaseException = error
    while True:
        inner = getattr(seen, "reason", None) or seen.__cause__ or seen.__context__
        if isinstance(inner, BaseException) and not isinstance(seen, NewConnectionError):
            seen = inner
            continue
        break
    if isinstance(seen, NewConnectionError):
        return str(seen).partition(": ")[2] or "cannot connect"
    if isinstance(seen, OSError) and seen.strerror:
        return seen.strerror
    return str(seen)[:EXCERPT] or type(seen).__name__
