"""A job as a value, what a request may ask for, and how a job is shown. Pure.

Facts of DataPusher 0.0.21: the states are `pending`, `complete` and `error`; every wrong request is 409 with the texts
below; times are local, without an offset, always with microseconds (CKAN reads them so).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from ....errors import Invalid
from ....transport.failures import shown

TYPE = "push_to_datastore"
PENDING, COMPLETE, ERROR = "pending", "complete", "error"
ACCEPTED = frozenset({"job_type", "api_key", "metadata", "result_url", "data"})


class Wrong(Invalid):
    """A request that is refused, in the words that DataPusher has for it."""


class Job(msgspec.Struct, frozen=True):
    """One job. `api_key` and `job_key` are secrets, empty once the job is over; `key_hash` is of the latter.

    Times are seconds since the epoch. `told`: nothing is to be told to `result_url` (any more).
    """

    id: str
    status: str = PENDING
    metadata: Mapping[str, Any] = {}
    result_url: str = ""
    sent_data: Any = {}
    requested: float = 0.0
    finished: float | None = None
    error: Any = None
    api_key: str = ""
    job_key: str = ""
    key_hash: str = ""
    told: bool = False

    @property
    def site(self) -> str:
        """The address of the CKAN site, without a slash at its end."""
        return str(self.metadata.get("ckan_url") or "").rstrip("/")

    @property
    def resource(self) -> str:
        """The id of the resource."""
        return str(self.metadata.get("resource_id") or "")

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no message may contain."""
        return tuple(filter(None, (self.api_key, self.api_key.partition(":")[2], self.job_key)))

    def opens(self, key: str) -> bool:
        """Whether `key` is this job's."""
        return hmac.compare_digest(key_hash(key), self.key_hash)

    def shown(self, logs: list[Mapping[str, Any]]) -> dict[str, Any]:
        """As the job API shows it, without a secret."""
        return {
            "job_id": self.id,
            "job_type": TYPE,
            "status": self.status,
            "data": None,
            "error": self.error,
            "requested_timestamp": stamp(self.requested),
            "finished_timestamp": None if self.finished is None else stamp(self.finished),
            "sent_data": self.sent_data,
            "aps_job_id": self.id,
            "result_url": shown(self.result_url) if self.result_url else None,
            "metadata": dict(self.metadata),
            "logs": logs,
        }


def key_hash(key: str) -> str:
    """What is kept of a key once nobody is to see it."""
    return hashlib.sha256(key.encode()).hexdigest()


def stamp(seconds: float) -> str:
    """A time as the job API writes it."""
    return datetime.fromtimestamp(seconds).isoformat(timespec="microseconds")


def asked(body: bytes, keyless: bool = False) -> Job:
    """The job that a request's JSON asks for, still without an id. Wrong says what is wrong.

    `keyless`: `api_key` may be left out.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise Wrong("Malformed json") from None
    if not isinstance(found, dict):
        raise Wrong("Malformed json")
    if set(found) - ACCEPTED:
        raise Wrong("Too many arguments. Extra keys are " + ", ".join(sorted(set(found) - ACCEPTED)))
    key, type = found.get("api_key") or "", found.get("job_type")
    if not (key or keyless):
        raise Wrong("Please provide your API key.")
    if not isinstance(key, str) or not key.isascii() or not key.isprintable():
        raise Wrong("api_key has to be a text of printable ASCII characters")
    if not type:
        raise Wrong("Please specify a job type")
    if type != TYPE:
        raise Wrong(f"Job type {str(type)[:100]} not available. Available job types are {TYPE}")
    url = found.get("result_url") or ""
    if not isinstance(url, str) or (url and not url.startswith("http")):
        raise Wrong("result_url has to start with http")
    metadata = found.get("metadata", {})
    if not isinstance(metadata, dict):
        raise Wrong("metadata has to be a json object")
    _metadata(metadata)
    return Job("", metadata=metadata, result_url=url, sent_data=found.get("data") or {}, api_key=key)


def _metadata(metadata: Mapping[str, Any]) -> None:
    url, resource = metadata.get("ckan_url"), metadata.get("resource_id")
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise Wrong("metadata.ckan_url has to be the address of a CKAN site")
    if not isinstance(resource, str) or not resource or "/" in resource or resource.startswith("."):
        raise Wrong("metadata.resource_id has to be the id of a resource")
