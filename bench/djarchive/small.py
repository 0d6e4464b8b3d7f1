"""Many small files, cold: what `grep -r` and `tar` take, beside bare requests, djarchive-client's steps, and mounts."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import obstore

from tests.servers.seaweedfs import ADMIN
from tests.servers.seaweedfs.client import Client

from ..bench import Bench, timed
from ..result import Result
from .bucket import Bucket, bucket
from .peers import mounted, peers
from .tables import OURS, Samples, beside

PARALLEL = "16 parallel verified GETs"
CLIENT = "djarchive-client's steps"


def small(bench: Bench) -> Iterator[Result]:
    """Both programs, each on a cold mount."""
    made = bucket(bench)
    id = made.small
    limit = [timed(lambda: _parallel(made, id)) for _ in range(bench.rounds)]
    serial = [timed(lambda: _client(made, id))]
    for program in ("grep", "tar"):
        samples: Samples = {OURS: [], PARALLEL: limit, CLIENT: serial}
        for _ in range(bench.rounds):
            with made.mount() as mount:
                folder = mount.path / "elements" / id
                samples[OURS].append(timed(partial(_scan, program, folder)))
        if "rclone tuned" in (commands := peers(made)):
            with mounted(made, "rclone tuned", commands["rclone tuned"]) as other:
                samples["rclone tuned"] = [timed(partial(_scan, program, other.path / id))]
        goals = {PARALLEL: 1.5, CLIENT: 0.35}
        yield from beside(f"{bench.many(5000)} small files, cold: {program}", "s", samples, goals)


def _scan(program: str, folder: Path) -> None:
    if program == "grep":
        command = ["grep", "-r", "-c", "no such text", str(folder)]
    else:
        command = ["tar", "-cf", "-", "-C", str(folder), "."]  # to a pipe: tar reads nothing for /dev/null
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        while process.stdout.read(1 << 20):
            pass
        said = process.stderr.read()
    if process.returncode not in ((0, 1) if program == "grep" else (0,)):
        raise RuntimeError(said.decode(errors="replace"))


def _parallel(made: Bucket, id: str) -> None:
    """The least that it can take: the manifest, then each file by a request, verified and written to disk."""
    store = made.server.store(made.name)
    target = Path(tempfile.mkdtemp(dir=made.bench.folder))  # stays: see Bench.mount
    text = bytes(obstore.get(store, f"{id}/djarchive-manifest.csv").bytes()).decode()
    lines = [line.strip('"').split('","') for line in text.splitlines()]

    def fetch(line: list[str]) -> None:
        data = obstore.get(store, f"{id}/{line[2]}").bytes()
        assert hashlib.sha256(data).hexdigest() == line[1]
        (target / line[2].replace("/", "_")).write_bytes(data)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(fetch, lines))


def _client(made: Bucket, id: str) -> None:
    dataset, _, revision = id.partition("/")
    target = made.bench.folder / "client"
    Client(made.server.http, made.name, ADMIN).download(dataset, revision, target)
