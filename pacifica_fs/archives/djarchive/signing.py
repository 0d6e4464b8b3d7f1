"""Signs requests as S3 wants it (AWS Signature Version 4, in headers), for the few that obstore does not make.

Source: "Signature Calculations for the Authorization Header" of Amazon S3's API reference. Threading: values, any
thread.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from urllib.parse import SplitResult, quote, urlsplit

from requests import PreparedRequest
from requests.auth import AuthBase

_ALGORITHM = "AWS4-HMAC-SHA256"
_SIGNED = "host;x-amz-content-sha256;x-amz-date"


class Signature(AuthBase):
    """Signs with a key. The request's path and query must be quoted by `quoted`, its query ordered by name."""

    def __init__(self, access: str, secret: str, region: str, now: Callable[[], float] = time.time) -> None:
        """`now`: seconds since the epoch."""
        self._access = access
        self._secret = secret
        self._region = region
        self._now = now

    def __repr__(self) -> str:
        return "Signature(***)"

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Adds the headers."""
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._now()))
        parts = urlsplit(request.url or "")
        body = request.body or b""
        digest = hashlib.sha256(body.encode() if isinstance(body, str) else body).hexdigest()
        headers = f"host:{_host(parts)}\nx-amz-content-sha256:{digest}\nx-amz-date:{moment}\n"
        canonical = f"{request.method}\n{parts.path}\n{parts.query}\n{headers}\n{_SIGNED}\n{digest}"
        scope = f"{moment[:8]}/{self._region}/s3/aws4_request"
        text = f"{_ALGORITHM}\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = b"AWS4" + self._secret.encode()
        for word in scope.split("/"):
            key = hmac.digest(key, word.encode(), "sha256")
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        request.headers["x-amz-date"] = moment
        request.headers["x-amz-content-sha256"] = digest
        request.headers["Authorization"] = (
            f"{_ALGORITHM} Credential={self._access}/{scope}, SignedHeaders={_SIGNED}, Signature={signature}"
        )
        return request


def _host(parts: SplitResult) -> str:
    """As the Host header has it."""
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.netloc.removesuffix(f":{usual}") if parts.port == usual else parts.netloc


def quoted(text: str, safe: str = "") -> str:
    """As the signature has it: everything but letters, digits and `-._~`."""
    return quote(text, safe=safe + "-._~")
