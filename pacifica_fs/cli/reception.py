"""CloudEvents over HTTP: what a request says and what is answered, as a WSGI application, whoever listens.

Structured, batched and binary content mode of CloudEvents 1.0, and the plain JSON that Pacifica's notifications send.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..errors import Invalid, PacificaFSError, TooLarge

Environ = Mapping[str, Any]
Start = Callable[[str, list[tuple[str, str]]], Any]
BATCH = "application/cloudevents-batch+json"


class Reception:
    """`hand` takes the JSON of one event: Invalid, TooLarge, or another error where it cannot be handed on now.

    `token`: what a request must bring as `Authorization: Bearer TOKEN`; empty: anybody may.
    """

    def __init__(self, hand: Callable[[bytes], None], token: str = "") -> None:
        self._hand = hand
        self._token = token

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        """Answer one request."""
        status, text, headers = self._answer(environ)
        body = f"{text}\n".encode() if text else b""
        start(status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body))), *headers])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _answer(self, environ: Environ) -> tuple[str, str, list[tuple[str, str]]]:
        method = environ["REQUEST_METHOD"]
        if method in ("GET", "HEAD"):
            return "200 OK", "pacifica-fs: POST a CloudEvent here", []
        if method == "OPTIONS":  # a sender that asks first, as the CloudEvents webhook specification has it
            return "200 OK", "", [("Allow", "POST"), ("WebHook-Allowed-Origin", "*")]
        if method != "POST":
            return "405 Method Not Allowed", "POST a CloudEvent", [("Allow", "POST, GET, OPTIONS")]
        if self._token and not self._known(str(environ.get("HTTP_AUTHORIZATION", ""))):
            return "401 Unauthorized", "a bearer token is needed", [("WWW-Authenticate", "Bearer")]
        try:
            for event in events(environ, environ["wsgi.input"].read()):
                self._hand(event)
        except TooLarge as error:
            return "413 Content Too Large", str(error), []
        except Invalid as error:
            return "400 Bad Request", str(error), []
        except PacificaFSError as error:
            return "503 Service Unavailable", str(error), [("Retry-After", "30")]
        return "204 No Content", "", []

    def _known(self, authorization: str) -> bool:
        scheme, _, token = authorization.partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), self._token.encode())


def events(environ: Environ, body: bytes) -> Sequence[bytes]:
    """The JSON of each event of a request. Invalid where it has none."""
    kind = str(environ.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower()
    if kind == BATCH:
        found = _json(body)
        if not isinstance(found, list):
            raise Invalid("a batch of events is a JSON list")
        return [json.dumps(each).encode() for each in found]
    if "HTTP_CE_ID" in environ:
        event = {
            name[len("HTTP_CE_") :].lower(): str(value)
            for name, value in environ.items()
            if name.startswith("HTTP_CE_")
        }
        return [json.dumps({**event, "data": _json(body)}).encode()]
    if not body:
        raise Invalid("a CloudEvent was expected in the body")
    return [body]


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"the body is not JSON: {error}") from error
