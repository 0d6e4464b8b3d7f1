"""The site that is measured: a fake with the costs that real servers were seen to have, and the peer, `requests`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.servers.mytardis import FakeTardis, Site, pattern

from ..bench import MIB, Bench

ROW, PAGE = 0.0025, 0.00025  # seconds for each row of a page, and for each row of the whole result
REQUEST = 0.025  # seconds before any answer: a download that was closed at once took 28 ms
RATE = 450e6  # bytes a second: 200 MiB were seen to take 0.36 to 0.56 s
LISTED, SMALL = 3000, 500


@contextmanager
def served(bench: Bench) -> Iterator[FakeTardis]:
    """Data sets of 3,000 files in folders (1), of one of 200 MiB (2), of 500 small ones (3); with `--quick` a tenth."""
    site = Site()
    site.user("alice")
    site.experiment("Bench", "alice")
    for name in ("listed", "large", "small"):
        site.dataset(name, 1)
    for n in range(bench.many(LISTED)):
        site.file(1, f"run{n // 300}", f"frame_{n:05}.tif", b"%d" % n)
    site.file(2, "", "large.bin", pattern(bench.many(200) * MIB))
    for n in range(bench.many(SMALL)):
        site.file(3, "", f"small_{n:05}.dat", pattern(8192, n))
    with FakeTardis(site, row_cost=ROW, page_cost=PAGE, latency=REQUEST, rate=RATE) as tardis:
        yield tardis


def peer(tardis: FakeTardis, code: str, **values: Any) -> dict[str, Any]:
    """What `code` puts into `result`; it runs in a process of its own, as the daemon does, with `requests` at hand.

    `get(path)` is a GET of the site in one session, `timed(f)` the seconds of a call.
    """
    program = _PEER + code + "\nprint(json.dumps(result))"
    given = json.dumps({"url": tardis.url, **values})
    done = subprocess.run([sys.executable, "-c", program, given], check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


_PEER = """
import json, sys, time
import requests
given = json.loads(sys.argv[1])
session = requests.Session()
session.trust_env = False
session.headers["Authorization"] = "ApiKey alice:alice-key"
def get(path, **more):
    answer = session.get(given["url"] + path, **more)
    answer.raise_for_status()
    return answer
def timed(function):
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun
result = {}
"""
