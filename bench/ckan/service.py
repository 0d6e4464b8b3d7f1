"""The same job given to `pacifica-fs datapusher` and to the real DataPusher: rows into real CKAN, in file order."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import requests

from tests.servers.ckan import CkanSite
from tests.servers.process import LOOPBACK, Process, free_ports, listening

from ..bench import Bench
from ..result import Result
from .site import site, write_table

ROWS = 20_000
"""DataPusher needs some forty seconds for so many; its rate does not depend on the number."""


def measure(bench: Bench) -> list[Result]:
    """Seconds for each thousand rows, from the request to the end of the job. Samples of the two take turns."""
    ckan, rows = site(bench), bench.many(ROWS)
    path = bench.folder / "job.csv"
    write_table(path, rows)
    process, url = _service(bench)
    ours, theirs = [], []
    try:
        for turn in range(bench.rounds):
            bench.say(f"job, round {turn + 1}: ours")
            ours.append(_job(ckan, url, path, rows) / rows * 1000)
            bench.say(f"job, round {turn + 1}: DataPusher")
            theirs.append(_job(ckan, ckan.datapusher_url(), path, rows) / rows * 1000)
    finally:
        process.stop()
    note = f"{rows} rows, the slowest of ours {1 / max(ours) * 1000:.0f} rows/s"
    return [Result("job of the service, per 1000 rows", "s", ours, "DataPusher", theirs, goal=1 / 3, note=note)]


def _service(bench: Bench) -> tuple[Process, str]:
    (port,) = free_ports(1)
    folder = bench.folder / "pusher"
    folder.mkdir()
    (folder / "c.toml").write_text(f'[datapusher]\nlisten = "{LOOPBACK}:{port}"\nallow_hosts = ["{LOOPBACK}"]\n')
    command = [sys.executable, "-m", "pacifica_fs", "datapusher", "-c", str(folder / "c.toml")]
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_STATE_HOME": str(folder / "state")}
    process = Process("pusher", command, guard=bench.guard, log=folder / "log", env=env, cwd=Path.cwd())
    process.start()
    process.wait(lambda: listening(port), time.monotonic() + 60)
    return process, f"http://{LOOPBACK}:{port}"


def _job(ckan: CkanSite, url: str, path: Path, rows: int) -> float:
    with path.open("rb") as stream:
        files = {"upload": ("table.csv", stream)}
        made = ckan.api()("resource_create", files=files, package_id=ckan.package(), name="t", format="CSV")
    metadata = {"ckan_url": ckan.url, "resource_id": made["id"]}
    body = {"api_key": ckan.token(), "job_type": "push_to_datastore", "metadata": metadata}
    with requests.Session() as http:
        http.trust_env = False
        begun = time.monotonic()
        job = http.post(f"{url}/job", json=body, timeout=60).json()
        headers = {"Authorization": job["job_key"]}
        while True:
            state = http.get(f"{url}/job/{job['job_id']}?limit=0", headers=headers, timeout=60).json()
            if state["status"] != "pending":
                break
            time.sleep(0.1)
        taken = time.monotonic() - begun
    assert state["status"] == "complete" and not state["error"], state["error"]
    assert ckan.api()("datastore_search", resource_id=made["id"], limit=0)["total"] == rows
    return taken
