"""Listing 3,000 files of a data set: how many requests it takes, and how long, beside `requests`."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from tests.mount.harness import Mount
from tests.servers.mytardis import FakeTardis

from ..bench import Bench, timed
from ..result import Result
from .site import peer, served

_LIST = """
def pages(path):
    asked, offset = 0, 0
    while True:
        page = get(f"/api/v1/{path}format=json&limit=1000&offset={offset}").json()
        asked, offset = asked + 1, offset + len(page["objects"])
        if not page["meta"]["next"]:
            return asked
asked = []
def everything():
    asked.append(pages("experiment/?"))
    asked.append(pages("dataset/?experiments__id=1&"))
    asked.append(pages("dataset_file/?dataset__id=1&order_by=id&"))
result["seconds"] = timed(everything)
result["requests"] = sum(asked)
"""


def listing(bench: Bench) -> Iterator[Result]:
    """`ls -lR` on a fresh mount: the experiments, the data sets of one, the files of one of those."""
    asked, must, ours, theirs = [], [], [], []
    with served(bench) as tardis, bench.mount({"archives": {"tardis": tardis.table()}}) as mount:
        for _ in range(bench.rounds):
            fresh(mount)
            known(mount)
            before = len(tardis.log)
            ours.append(timed(lambda: _everything(mount.path / "tardis")))
            asked.append(float(len(tardis.log) - before))
            bare = peer(tardis, _LIST)
            theirs.append(bare["seconds"])
            must.append(float(bare["requests"]))
        number = _count(tardis)
    yield Result(f"listing {number} files", "requests", asked, "those that it must take", must, goal=1.1)
    yield Result(f"listing {number} files: time", "s", ours, "requests", theirs)


def fresh(mount: Mount) -> None:
    """The mount, with nothing in its cache."""
    mount.stop()
    for place in ("cache", "state"):
        shutil.rmtree(mount.environment[f"XDG_{place.upper()}_HOME"], ignore_errors=True)
    mount.start()


def known(mount: Mount) -> None:
    """Once the daemon knows as whom it is there, which it asks by itself when it starts."""
    end = time.monotonic() + 60
    while not mount.json("status/archives/tardis.json").get("identity"):
        if time.monotonic() > end:
            raise TimeoutError("the archive does not answer")
        time.sleep(0.05)


def _everything(root: Path) -> None:
    (experiment,) = [entry for entry in os.scandir(root) if entry.is_dir()]
    (data,) = [entry for entry in os.scandir(experiment) if entry.name == "listed_1"]
    for folder, _, names in os.walk(data):
        for name in names:
            os.stat(os.path.join(folder, name))


def _count(tardis: FakeTardis) -> int:
    return sum(file.dataset == 1 for file in tardis.site.files.values())
