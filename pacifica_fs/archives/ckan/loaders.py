"""Those who load tables for a site: its own plugin, or a DataPusher service. Each is submitted to and looked at.

Facts (DataPusher 0.0.17 and 0.0.21): only pending, complete and error; a job that hangs stays pending for ever; ten at
once, and the next ones end with "Job delayed too long, service full"; complete does not mean that there are rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from ...errors import BadAnswer, NotFound
from ...transport.http import Http
from .api import Api, Refused
from .said import message

FULL = "service full"
UNSUBMITTED = "not submitted"


class Look(msgspec.Struct, frozen=True):
    """How far a job is: `state` is pending, complete or error; `sign` changes with every sign of life."""

    state: str
    sign: str = ""
    message: str = ""


class Loader(Protocol):
    """One who loads tables. Any thread; errors are those of `pacifica_fs.errors`."""

    name: str

    def submit(self, resource: str, job: str, again: bool) -> str:
        """Have a resource loaded; the key for `look`. `again`: even if a job for it ended already."""

    def look(self, resource: str, job: str, key: str) -> Look:
        """How far it is."""


class Plugin:
    """The site's own datapusher or xloader plugin, which starts by itself when a resource is uploaded."""

    def __init__(self, api: Api, name: str, token: str) -> None:
        self.name = name
        self._actions = "xloader" if name == "xloader" else "datapusher"
        self._api, self._token = api, token

    def submit(self, resource: str, job: str, again: bool) -> str:
        """See Loader. One that runs already is left alone: the plugin is never raced."""
        if not again and self._state(resource) is not None:
            return ""
        self._api.write(f"{self._actions}_submit", resource_id=resource, ignore_hash=True)
        return ""

    def look(self, resource: str, job: str, key: str) -> Look:
        """See Loader."""
        found = self._state(resource)
        if found is None:
            return Look("pending", UNSUBMITTED)
        info = found.get("task_info")
        info = info if isinstance(info, Mapping) else {}
        status = str(found.get("status") or "")
        logs = info.get("logs")
        sign = f"{status} {found.get('last_updated')} {len(logs) if isinstance(logs, list) else 0} {_last(logs)}"
        if status in ("complete", "error"):
            error = info.get("error") or found.get("error")
            if status == "complete" and not error:
                return Look("complete", sign)
            return Look("error", sign, message(error, (self._token,)))
        return Look("pending", sign)

    def _state(self, resource: str) -> Mapping[str, Any] | None:
        try:
            found = self._api.read(f"{self._actions}_status", resource_id=resource)
        except NotFound:
            return None
        return found if isinstance(found, Mapping) else None


class DataPusher:
    """A DataPusher service, by its job API."""

    name = "datapusher"
    prepared = True
    """It honours the types of a table that is there before its job begins."""

    def __init__(self, http: Http, site: str, token: str) -> None:
        self._http, self._site, self._token = http, site, token

    def submit(self, resource: str, job: str, again: bool) -> str:
        """See Loader. The job's id is ours, so that it cannot be there twice."""
        body = {
            "api_key": self._token,
            "job_type": "push_to_datastore",
            "metadata": {"ckan_url": self._site, "resource_id": resource, "ignore_hash": True, "set_url_type": False},
        }
        answer = self._http.request("POST", f"/job/{job}", json=body, expect=(200, 409), repeat=False)
        found = answer.json()
        if answer.status == 409:
            text = message(found, (self._token,))
            if "already exists" in text:
                return ""
            raise Refused(f"DataPusher refuses the job: {text}", {})
        return str(found.get("job_key") or "") if isinstance(found, Mapping) else ""

    def look(self, resource: str, job: str, key: str) -> Look:
        """See Loader. Without its key (the answer was lost) a job's state is found in the public list."""
        if not key:
            return self._listed(resource, job)
        headers = {"Authorization": key}
        found = self._http.request("GET", f"/job/{job}", params={"limit": 1}, headers=headers, absent=True).json()
        if not isinstance(found, Mapping):
            raise BadAnswer("DataPusher: an object was expected")
        sign = f"{found.get('status')} {_last(found.get('logs'))}"
        if found.get("status") == "error" or (found.get("status") == "complete" and found.get("error")):
            return Look("error", sign, message(found.get("error"), (self._token, key)))
        return Look(str(found.get("status") or "pending"), sign)

    def _listed(self, resource: str, job: str) -> Look:
        for state in ("complete", "error", "pending"):
            params = {"resource_id": resource, "_status": state}
            found = self._http.request("GET", "/job", params=params).json()
            if isinstance(found, Mapping) and f"/job/{job}" in (found.get("list") or ()):
                return Look(state, state, "DataPusher says that it failed" if state == "error" else "")
        raise NotFound(f"DataPusher does not know the job {job}")


def _last(logs: Any) -> str:
    if not isinstance(logs, list) or not logs or not isinstance(logs[-1], Mapping):
        return ""
    return f"{logs[-1].get('timestamp')} {logs[-1].get('message')}"[:200]
