"""The listing of a project, and `find` over a transaction, never seen before, beside the one request for each."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.mount.harness import Mount

from ..bench import Bench, run, timed
from ..result import Result
from . import rows

PROJECT, OTHER = "51003", "49004"


def project(bench: Bench) -> Iterator[Result]:
    """`ls` of a project's folder, by the metadata service and by policy alone."""
    number = bench.many(1000)
    ids = rows.transactions(bench.site, PROJECT, number)
    rows.transactions(bench.site, OTHER, 1, ids.stop)
    by_metadata = f"{bench.site.metadata}/transsip"
    by_policy = f"{bench.site.policy}/status/transactions/search/list"
    page = {"page_number": 1, "items_per_page": number + 1, "recursion_depth": 0}
    for name, url, params, without in (
        ("metadata", by_metadata, {"project": PROJECT, **page}, {}),
        ("policy", by_policy, {"project": PROJECT, "page": 1, "item_count": number}, {"metadata": None}),
    ):
        ours, again, bare = [], [], []
        for mount, http in _fresh(bench, **without):
            folder = mount.path / "site/projects" / PROJECT
            os.listdir(folder.with_name(OTHER))  # the connection is there for both
            found: list[str] = []
            ours.append(timed(lambda found=found, folder=folder: found.extend(os.listdir(folder))) * 1000)
            assert len(found) == 2 * number, f"{len(found)} entries"
            again.append(timed(lambda folder=folder: os.listdir(folder)) * 1000)
            bare.append(_request(http, url, params) * 1000)
        what = f"listing of a project of {number} transactions, {name}"
        yield Result(what, "ms", ours, "its request", bare, goal=1.2)
        yield Result(f"{what}: again", "ms", again, "its request", bare)


def find(bench: Bench) -> Iterator[Result]:
    """`find` over one transaction none of whose files was listed; without sizes, and with them.

    In the first half the transaction itself was listed before; in the second nothing of the archive was looked at.
    """
    number = bench.many(1000)
    (id,) = rows.transactions(bench.site, PROJECT, 1, rows.FIRST + 100_000)
    rows.files(bench.site, id, number)
    params = {"transaction_id": id, "recursion_depth": 0}
    size = ("-size", "-9")
    for what, more, listed in (
        ("find", (), True),
        ("find -size -9", size, True),
        ("find, nothing known,", (), False),
        ("find -size -9, nothing known,", size, False),
    ):
        ours, bare, bare_find = [], [], []
        for mount, http in _fresh(bench):
            if listed:
                os.listdir(mount.path / "site/recent")
            folder = mount.path / "site/transactions" / str(id)
            ours.append(timed(lambda folder=folder, more=more: _find(folder, *more)) * 1000)
            seconds = _request(http, f"{bench.site.metadata}/files", params)
            bare.append(seconds * 1000)
            bare_find.append((seconds + timed(lambda: _find(Path("/dev/null")))) * 1000)
        name = f"{what} over a transaction of {number} files, cold"
        yield Result(name, "ms", ours, "the request for its files", bare, goal=1.3)
        yield Result(name, "ms", ours, "that, and an empty find", bare_find, goal=1.3)


def _fresh(bench: Bench, **options: None) -> Iterator[tuple[Mount, requests.Session]]:
    """For each round a mount that has seen nothing, and a session with a connection."""
    with _session() as http, bench.mount(bench.site_tables(**options)) as mount:
        for number in range(bench.rounds):
            if number:
                mount.stop()
                mount.forget_cache()
                mount.start()
            while mount.json("status/archives/site.json")["reachable"] is None:
                time.sleep(0.05)  # the daemon's first look at all servers is not what is measured
            for url in (bench.site.metadata, bench.site.policy):
                http.get(url, timeout=60)
            yield mount, http


@contextmanager
def _session() -> Iterator[requests.Session]:
    with requests.Session() as http:
        http.trust_env = False
        yield http


def _request(http: requests.Session, url: str, params: dict[str, str | int]) -> float:
    """Seconds for the whole answer, as values."""

    def ask() -> None:
        answer = http.get(url, params=params, timeout=120)
        answer.raise_for_status()
        assert answer.json()

    return timed(ask)


def _find(folder: Path, *more: str) -> None:
    run("find", folder, *more, stdout=subprocess.DEVNULL)
