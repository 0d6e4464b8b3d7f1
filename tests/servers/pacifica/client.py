"""A bare client: the fewest plain requests that upload and read, polled every 50 ms. A yardstick."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import requests

from .site import Site

POLL = 0.05
TIMEOUT = 60.0
_MTIME = "2024-05-06T07:08:09"
Content = bytes | Path


class Failed(Exception):
    """The site refused or failed; the message has its answer."""


class Client:
    """One user of a site. Not for several threads at once."""

    def __init__(self, site: Site, user: int | None = None, project: str | None = None, instrument: int | None = None):
        self.site = site
        self.header = [
            {"destinationTable": "Transactions.submitter", "value": user or site.user},
            {"destinationTable": "Transactions.project", "value": project or site.project},
            {"destinationTable": "Transactions.instrument", "value": instrument or site.instrument},
        ]
        self.http = requests.Session()
        self.http.trust_env = False

    def call(self, method: str, url: str, expect: int, **more: Any) -> requests.Response:
        """One request; Failed for another status than expected."""
        answer = self.http.request(method, url, **{"timeout": TIMEOUT, **more})
        if answer.status_code != expect:
            raise Failed(f"{method} {url}: {answer.status_code} instead of {expect}: {answer.text[:800]}")
        return answer

    def allowed(self) -> bool:
        """Whether policy would take an upload."""
        answer = self.http.post(f"{self.site.policy}/ingest", json=self.header, timeout=TIMEOUT)
        if answer.status_code not in (200, 412):
            raise Failed(f"policy: {answer.status_code}: {answer.text[:800]}")
        return answer.status_code == 200

    def upload(self, files: Mapping[str, Content], keys: Sequence[tuple[str, str]] = ()) -> int:
        """Upload `files` (by path) as one transaction; its id, once it is ingested."""
        body = io.BytesIO()
        write_bundle(body, files, self.header, keys)
        return self.finished(self.post(body.getvalue()))

    def post(self, body: bytes | BinaryIO) -> int:
        """Send a bundle; its job id."""
        headers = {"Content-Type": "application/octet-stream"}
        answer = self.call("POST", f"{self.site.ingest}/upload", 200, data=body, headers=headers, timeout=600)
        return int(answer.json()["job_id"])

    def finished(self, job: int, timeout: float = 600) -> int:
        """Wait until an ingest job is done; its transaction id (the same number)."""
        deadline = time.monotonic() + timeout
        while True:
            state = self.call("GET", f"{self.site.ingest}/get_state", 200, params={"job_id": job}).json()
            if state["complete"]:
                if state["state"] != "OK":
                    raise Failed(f"job {job}: {state}")
                return job
            if time.monotonic() > deadline:
                raise Failed(f"job {job} is not done after {timeout} s: {state}")
            time.sleep(POLL)

    def files(self, transaction: int) -> list[dict[str, Any]]:
        """The metadata rows of a transaction's files."""
        query = {"transaction_id": transaction, "recursion_depth": 0}
        return list(self.call("GET", f"{self.site.metadata}/files", 200, params=query).json())

    @contextmanager
    def cart(self, rows: Sequence[Mapping[str, Any]], timeout: float = 600) -> Iterator[str]:
        """The URL of a cart of these files once it is ready; deleted afterwards."""
        url = f"{self.site.cart}/{uuid.uuid4()}"
        wanted = [
            {"id": row["_id"], "path": str(row["_id"]), **{k: row[k] for k in ("hashtype", "hashsum")}} for row in rows
        ]
        self.call("POST", url, 201, json={"fileids": wanted})
        try:
            deadline = time.monotonic() + timeout
            while self.call("HEAD", url, 204).headers["X-Pacifica-Status"] != "ready":
                if time.monotonic() > deadline:
                    raise Failed(f"cart {url} is not ready after {timeout} s")
                time.sleep(POLL)
            yield url
        finally:
            self.call("DELETE", url, 200)

    def download(self, transaction: int) -> dict[str, bytes]:
        """All files of a transaction, by path, through one cart."""
        rows = self.files(transaction)
        if not rows:
            return {}
        with self.cart(rows) as url:
            body = self.call("GET", url, 200, params={"filename": "c"}).content
        found = {}
        with tarfile.open(fileobj=io.BytesIO(body)) as tar:
            for row in rows:
                member = tar.extractfile(f"c/{row['_id']}")
                assert member
                found["/".join(filter(None, (row["subdir"], row["name"])))] = member.read()
        return found

    def close(self) -> None:
        """Close its connections."""
        self.http.close()


def write_bundle(
    out: BinaryIO,
    files: Mapping[str, Content],
    header: Sequence[Mapping[str, Any]],
    keys: Sequence[tuple[str, str]] = (),
    algorithm: str = "sha1",
) -> None:
    """Write the tar of an upload: files below `data/`, `metadata.txt` last."""
    entries = [*header, *({"destinationTable": "TransactionKeyValue", "key": k, "value": v} for k, v in keys)]
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, content in files.items():
            subdir, _, name = path.rpartition("/")
            member = tarfile.TarInfo(f"data/{path}")
            with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as stream:
                digest = hashlib.file_digest(stream, algorithm).hexdigest()
                member.size = stream.seek(0, io.SEEK_END)
                stream.seek(0)
                tar.addfile(member, stream)
            if (subdir + "/").startswith("data/"):
                subdir = "data/" + subdir  # the server takes one leading `data` away
            entries.append(
                {
                    "destinationTable": "Files", "name": name, "subdir": subdir, "size": member.size,
                    "hashtype": algorithm, "hashsum": digest, "mimetype": "application/octet-stream",
                    "mtime": _MTIME, "ctime": _MTIME,
                }
            )  # fmt: skip
        text = json.dumps(entries).encode()
        member = tarfile.TarInfo("metadata.txt")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text))
