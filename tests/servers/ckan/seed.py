"""The people and the data of a fresh CKAN site, made over its API.

`editor` may write to the organisation `lab`, `stranger` has no role. `lab-data` is public, `lab-private` is not.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import requests

ORGANISATION, PUBLIC, PRIVATE = "lab", "lab-data", "lab-private"
READINGS = "time,sensor,value\n" + "".join(
    f"2024-01-{1 + i // 24:02d}T{i % 24:02d}:00:00,s{i % 3},{i * 0.25}\n" for i in range(200)
)
SAMPLES = "code,mass\nS-001,1.5\nS-002,2.25\n"
FRAME = bytes(range(256)) * 512


class Api:
    """A bare client of CKAN's action API, as somebody with `token`."""

    def __init__(self, url: str, token: str = "") -> None:
        self.url, self.token = url, token
        self._http = requests.Session()
        self._http.trust_env = False

    def __call__(self, action: str, files: Any = None, **data: Any) -> Any:
        """The result of one action; RuntimeError with the answer for everything but success."""
        headers = {"Authorization": self.token} if self.token else {}
        body: dict[str, Any] = {"data": data, "files": files} if files else {"json": data}
        answer = self._http.post(f"{self.url}/api/3/action/{action}", headers=headers, timeout=60, **body)
        if answer.status_code != 200:
            raise RuntimeError(f"{action}: {answer.status_code}: {answer.text[:500]}")
        return answer.json()["result"]

    def download(self, url: str) -> bytes:
        """The bytes of a resource."""
        answer = self._http.get(url, headers={"Authorization": self.token} if self.token else {}, timeout=60)
        answer.raise_for_status()
        return answer.content


def seed(url: str, token: Callable[[str], str], write_token: Callable[[str, str], object]) -> None:
    """Fill an empty site whose sysadmin's token is there; writes the tokens of the other users."""
    admin = Api(url, token("admin"))
    for name in ("editor", "stranger"):
        admin("user_create", name=name, email=f"{name}@site.example", password=secrets.token_urlsafe(16))
        write_token(name, admin("api_token_create", user=name, **{"name": "tests"})["token"])
    admin("organization_create", name=ORGANISATION, title="Laboratory")
    admin("organization_member_create", id=ORGANISATION, username="editor", role="editor")
    editor = Api(url, token("editor"))
    for name, private in ((PUBLIC, False), (PRIVATE, True)):
        editor("package_create", name=name, title=f"Data: {name}", owner_org=ORGANISATION, private=private)
    readings = _upload(editor, PUBLIC, "readings.csv", READINGS.encode(), "CSV")
    _table(editor, readings["id"], READINGS, ("timestamp", "text", "numeric"))
    _upload(editor, PUBLIC, "detector frame.bin", FRAME, "")
    samples = _upload(editor, PRIVATE, "samples.csv", SAMPLES.encode(), "CSV")
    _table(editor, samples["id"], SAMPLES, ("text", "numeric"))


def _upload(api: Api, package: str, name: str, content: bytes, format: str) -> Any:
    return api("resource_create", files={"upload": (name, content)}, package_id=package, name=name, format=format)


def _table(api: Api, resource: str, text: str, types: tuple[str, ...]) -> None:
    names, *rows = (line.split(",") for line in text.splitlines())
    fields = [{"id": name, "type": type} for name, type in zip(names, types, strict=True)]
    records = [dict(zip(names, row, strict=True)) for row in rows]
    api("datastore_create", resource_id=resource, force=True, fields=fields, records=records)
