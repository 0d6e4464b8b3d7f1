"""The bucket that is measured: a large file, many small ones, and a folder with 50,000 entries."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import obstore

from tests.mount.harness import Mount
from tests.servers.seaweedfs import SeaweedFS
from tests.servers.seaweedfs.publish import MANIFEST, manifest, publish

from ..bench import MIB, Bench

MEMORY = 6144
"""MiB that the server may take."""
LARGE, SMALL, HUGE = "bench/large", "bench/small", "bench/huge"


class Bucket:
    """A server with these revisions in its public bucket; each is made when it is asked for first."""

    def __init__(self, bench: Bench, server: SeaweedFS) -> None:
        self.bench = bench
        self.server = server
        self.name = server.public

    @cached_property
    def large(self) -> str:
        """One file `big.bin`; the revision's id."""
        self.bench.say(f"publishing a file of {self.bench.big >> 20} MiB")
        digest = hashlib.sha256()

        def parts() -> Iterator[bytes]:
            for _ in range(self.bench.big // (8 * MIB)):
                data = os.urandom(8 * MIB)
                digest.update(data)
                yield data

        store = self.server.store(self.name)
        obstore.put(store, f"{LARGE}/big.bin", parts(), use_multipart=True, chunk_size=8 * MIB, max_concurrency=4)
        line = f'"{self.bench.big}","{digest.hexdigest()}","big.bin"\n'
        obstore.put(store, f"{LARGE}/{MANIFEST}", line.encode(), use_multipart=False)
        return LARGE

    @cached_property
    def small(self) -> str:
        """5,000 files of 4 to 16 KiB in 50 folders."""
        number = self.bench.many(5000)
        self.bench.say(f"publishing {number} small files")
        publish(self.server, self.name, SMALL, {
            f"d{n % 50:02}/f{n:05}.dat": os.urandom(4096 + n * 37 % 12288) for n in range(number)
        })  # fmt: skip
        return SMALL

    @cached_property
    def huge(self) -> str:
        """50,000 files of a few bytes in one folder."""
        number = self.bench.many(50_000)
        self.bench.say(f"publishing {number} tiny files")
        files = {f"f{n:05}": b"%d" % n for n in range(number)}
        store = self.server.store(self.name)
        with ThreadPoolExecutor(16) as pool:
            list(
                pool.map(
                    lambda item: obstore.put(store, f"{HUGE}/{item[0]}", item[1], use_multipart=False), files.items()
                )
            )
        obstore.put(store, f"{HUGE}/{MANIFEST}", manifest(files), use_multipart=False)
        return HUGE

    def tables(self) -> dict[str, Any]:
        """A configuration with the bucket as the archive `elements`."""
        return {"archives": {"elements": {"kind": "djarchive", "endpoint": self.server.http, "bucket": self.name}}}

    @contextmanager
    def mount(self) -> Iterator[Mount]:
        """A cold mount of ours."""
        with self.bench.mount(self.tables()) as mount:
            yield mount

    def url(self, key: str) -> str:
        """Where anybody can read an object."""
        return f"{self.server.http}/{self.name}/{key}"


def bucket(bench: Bench) -> Bucket:
    """The run's bucket, started by who asks first."""
    found: Bucket | None = bench.shared.get("bucket")
    if found is None:
        bench.say("starting SeaweedFS")
        found = bench.shared["bucket"] = Bucket(bench, bench.enter(SeaweedFS(bench.guard, MEMORY)))
    return found
