"""CKAN's action API: one call in, its `result` out, failures as `pacifica_fs.errors`.

Facts of CKAN 2.12: errors are JSON with `__type`; 409 is a refusal of what was sent, with a message for each field; a
token that is not valid is no error, but counts as nobody. Older versions answer 400 for an action they do not have.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from requests import PreparedRequest
from requests.auth import AuthBase

from ...errors import BadAnswer, Denied, Invalid, NotFound, PacificaFSError
from ...transport.failures import Answer
from ...transport.http import Http, Timeouts

TALK = Timeouts(read=120.0)
WORK = Timeouts(read=600.0)
"""For calls that write many rows, or end in the site's search index."""


class Refused(Invalid):
    """The site refuses what was sent. `fields` has its messages by the name of what they are about."""

    def __init__(self, message: str, fields: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.fields = fields


class Token(AuthBase):
    """Signs requests with an API token, looked up at the first of them; without one, requests are anonymous."""

    cert: tuple[str, str] | str | None = None

    def __init__(self, lookup: Callable[[], str]) -> None:
        self._lookup = lookup
        self._value: str | None = None

    @property
    def auth(self) -> AuthBase:
        """This object."""
        return self

    @property
    def value(self) -> str:
        """The token, or an empty text; never to be shown."""
        if self._value is None:
            self._value = self._lookup()
        return self._value

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        if self.value:
            request.headers["Authorization"] = self.value
        return request

    def renew(self, refused: str) -> bool:
        """Look it up again; True if there is another one by now."""
        self._value = self._lookup()
        return bool(self._value) and self._value != refused


class Api:
    """One site as one identity. Any thread; every call blocks within the deadlines of `Http`."""

    def __init__(self, http: Http) -> None:
        self.http = http

    def read(self, action: str, **data: object) -> Any:
        """The result of an action that changes nothing; repeated after an outage."""
        return self._result(action, data, True, TALK)

    def write(self, action: str, **data: object) -> Any:
        """The result of an action that changes something; sent once. Unreachable: nobody knows whether it happened."""
        return self._result(action, data, False, WORK)

    def exact(self, action: str, **data: object) -> Any:
        """As `read`, with numbers as the text that was sent: none loses a digit."""
        answer = self._answer(action, data, True, WORK)
        try:
            return json.loads(answer.body, parse_float=str, parse_int=str)["result"]
        except (ValueError, KeyError, TypeError):
            raise BadAnswer(f"{answer.url}: a JSON object with a result was expected") from None

    def _result(self, action: str, data: Mapping[str, object], repeat: bool, timeouts: Timeouts) -> Any:
        return result(self._answer(action, data, repeat, timeouts))

    def _answer(self, action: str, data: Mapping[str, object], repeat: bool, timeouts: Timeouts) -> Answer:
        return self.http.request("POST", f"/api/3/action/{action}", json=data, repeat=repeat, timeouts=timeouts)


def result(answer: Answer) -> Any:
    """The result in the envelope of an answer."""
    value = answer.json()
    if not isinstance(value, dict) or value.get("success") is not True or "result" not in value:
        raise BadAnswer(f"{answer.url}: an object with success and result was expected")
    return value["result"]


def judge(answer: Answer) -> PacificaFSError | None:
    """What CKAN's error answers mean; None for what is not CKAN's."""
    try:
        value = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if isinstance(value, str):
        return BadAnswer(f"{answer.url}: {value[:200]}")
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(error, dict):
        return None
    said = _said(error)
    kind = error.get("__type")
    if kind == "Not Found Error" or answer.status == 404:
        return NotFound(f"{answer.url}: {said}")
    if kind == "Authorization Error" or answer.status == 403:
        return Denied(f"this identity may not do that, or its token is not valid: {answer.url}: {said}")
    if answer.status in (409, 413):
        fields = {key: value for key, value in error.items() if key != "__type"}
        return Refused(f"the site refuses it: {said}", fields)
    return BadAnswer(f"{answer.url}: {kind or 'error'}: {said}")


def _said(error: Mapping[str, Any]) -> str:
    """The messages of an error on one line."""
    parts = []
    for key, value in error.items():
        if key != "__type":
            text = "; ".join(map(str, value)) if isinstance(value, list) else str(value)
            parts.append(text if key == "message" else f"{key}: {text}")
    return " ".join(", ".join(parts).split())[:500] or "no reason given"
