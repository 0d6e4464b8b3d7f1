"""100,000 rows of 10 columns into real CKAN: directly, and by the real DataPusher; rows in file order."""

from __future__ import annotations

import time
from pathlib import Path

import requests

from pacifica_fs.archives.ckan.api import Api, Token, judge
from pacifica_fs.archives.ckan.datastore import DataStore
from pacifica_fs.archives.ckan.tables import read
from pacifica_fs.clock import SystemClock
from pacifica_fs.transport.http import Http
from tests.servers.ckan import CkanSite

from ..bench import Bench
from ..result import Result
from .site import site, write_table

ROUNDS = 3


def measure(bench: Bench) -> list[Result]:
    """Seconds for each thousand rows. Samples of the two take turns."""
    ckan = site(bench)
    rows = bench.many(100_000)
    path = bench.folder / "table.csv"
    write_table(path, rows)
    ours, theirs = [], []
    for turn in range(min(ROUNDS, bench.rounds)):
        bench.say(f"push, round {turn + 1}: direct")
        ours.append(_direct(ckan, path, bench.folder / f"keep{turn}") / rows * 1000)
        bench.say(f"push, round {turn + 1}: DataPusher")
        theirs.append(_datapusher(ckan, path) / rows * 1000)
    note = f"{rows} rows: {1000 / _median(ours):.0f} rows/s; DataPusher {1000 / _median(theirs):.0f} rows/s"
    return [
        Result("table into the DataStore, per 1000 rows", "s", ours, "DataPusher", theirs, goal=1 / 3, note=note)
    ]  # fmt: skip


def _resource(ckan: CkanSite, path: Path, format: str) -> str:
    with path.open("rb") as stream:
        files = {"upload": ("table.csv", stream)}
        made = ckan.api()("resource_create", files=files, package_id=ckan.package(), name="t", format=format)
    return str(made["id"])


def _direct(ckan: CkanSite, path: Path, keep: Path) -> float:
    resource = _resource(ckan, path, "DATA")
    http = Http(ckan.url, clock=SystemClock(), login=Token(ckan.token), judge=judge)
    store = DataStore(Api(http), keep, SystemClock())
    begun = time.monotonic()
    table = read(path, "csv")
    found = store.push(resource, table)
    taken = time.monotonic() - begun
    assert found.count == table.rows
    return taken


def _datapusher(ckan: CkanSite, path: Path) -> float:
    resource = _resource(ckan, path, "CSV")
    url = ckan.datapusher_url()
    body = {
        "api_key": ckan.token(), "job_type": "push_to_datastore",
        "metadata": {"ckan_url": ckan.url, "resource_id": resource},
    }  # fmt: skip
    with requests.Session() as http:
        http.trust_env = False
        begun = time.monotonic()
        job = http.post(f"{url}/job", json=body, timeout=60).json()
        while True:
            headers = {"Authorization": job["job_key"]}
            state = http.get(f"{url}/job/{job['job_id']}?limit=0", headers=headers, timeout=60).json()
            if state["status"] != "pending":
                assert state["status"] == "complete" and not state["error"], state["error"]
                return time.monotonic() - begun
            time.sleep(0.1)


def _median(samples: list[float]) -> float:
    return sorted(samples)[len(samples) // 2]
