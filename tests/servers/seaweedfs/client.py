"""What djarchive-client does with a bucket, step by step, on the library that it uses (minio): as it is documented."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

from minio import Minio

from .publish import MANIFEST

CHUNK = 1 << 20


class Client:
    """A reader of one bucket; without keys anonymous."""

    def __init__(self, endpoint: str, bucket: str, keys: tuple[str, str] | None = None) -> None:
        parts = urlsplit(endpoint)
        access, secret = keys or (None, None)
        self._minio = Minio(parts.netloc, access_key=access, secret_key=secret, secure=parts.scheme == "https")
        self._bucket = bucket

    def datasets(self) -> list[str]:
        """The prefixes at the top."""
        found = self._minio.list_objects(self._bucket)
        return [one.object_name.rstrip("/") for one in found if one.is_dir]

    def revisions(self, dataset: str) -> list[tuple[str, str]]:
        """The prefixes below a dataset."""
        found = self._minio.list_objects(self._bucket, f"{dataset}/")
        return [(dataset, one.object_name.rstrip("/").rpartition("/")[2]) for one in found if one.is_dir]

    def download(self, dataset: str, revision: str, target: Path) -> tuple[int, int]:
        """All files below `target`; how many were found, and how many of them are not what the manifest says."""
        target.mkdir(parents=True)
        prefix = f"{dataset}/{revision}"
        self._fetch(f"{prefix}/{MANIFEST}", target / MANIFEST)
        manifest = {}
        for line in (target / MANIFEST).read_text().splitlines():
            size, digest, path = (word.replace('"', "") for word in line.strip().split(","))
            assert path not in manifest
            manifest[path] = int(size), digest
        found = wrong = 0
        for one in self._minio.list_objects(self._bucket, prefix, recursive=True):
            path = one.object_name.removeprefix(f"{prefix}/")
            if path == MANIFEST:
                continue
            size, digest = manifest[path]
            local = target / path
            local.parent.mkdir(parents=True, exist_ok=True)
            self._fetch(one.object_name, local)
            found += 1
            wrong += (local.stat().st_size, hashlib.sha256(local.read_bytes()).hexdigest()) != (size, digest)
        return found, wrong

    def _fetch(self, key: str, local: Path) -> None:
        size = self._minio.stat_object(self._bucket, key).size
        with local.open("wb") as stream:
            for offset in range(0, size, CHUNK):
                answer = self._minio.get_object(self._bucket, key, offset, min(CHUNK, size - offset))
                try:
                    stream.write(answer.read())
                finally:
                    answer.close()
                    answer.release_conn()
