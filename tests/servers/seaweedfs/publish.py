"""Revisions as djarchive-client publishes them, made by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import obstore

from .server import SeaweedFS

MANIFEST = "djarchive-manifest.csv"


def manifest(files: Mapping[str, bytes]) -> bytes:
    """The manifest of `files`, in their order."""
    lines = [f'"{len(data)}","{hashlib.sha256(data).hexdigest()}","{path}"\n' for path, data in files.items()]
    return "".join(lines).encode()


def publish(server: SeaweedFS, bucket: str, id: str, files: Mapping[str, bytes], text: bytes | None = None) -> None:
    """All objects of the revision `id` (DATASET/REVISION), the manifest (or `text` in its place) last."""
    store = server.store(bucket)

    def put(item: tuple[str, bytes]) -> None:
        obstore.put(store, f"{id}/{item[0]}", item[1], use_multipart=len(item[1]) > 5 << 20)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, files.items()))
    obstore.put(store, f"{id}/{MANIFEST}", manifest(files) if text is None else text, use_multipart=False)
