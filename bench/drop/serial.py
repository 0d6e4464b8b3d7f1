"""Twenty small bundles at once, beside the site's own serial rate: a bare client that posts and polls, one by one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from ..bench import Bench, touch
from ..result import Result

BUNDLES = 20


def serial(bench: Bench) -> Iterator[Result]:
    """From the first `.commit` until the last is done, for each bundle."""
    number = max(4, bench.many(BUNDLES))
    ours, bare = [], []
    with bench.mount(bench.site_tables()) as mount:
        for round in range(bench.rounds):
            drop = mount.path / "drop" / "site"
            names = [f"small{round}-{i}" for i in range(number)]
            for name in names:
                (drop / name).mkdir()
                (drop / name / "data").write_bytes(os.urandom(4096))
                (drop / name / "metadata.json").write_text(bench.sidecar())
            begun = time.perf_counter()
            for name in names:
                touch(drop / name / ".commit")
            for name in names:
                mount.wait_state(name, "done", 900, "site")
            ours.append((time.perf_counter() - begun) / number)
            begun = time.perf_counter()
            for _ in range(number):
                _post(bench)
            bare.append((time.perf_counter() - begun) / number)
    yield Result(f"each of {number} small bundles at once", "s", ours, "POST and poll, one by one", bare, 1.1)


def _post(bench: Bench) -> None:
    bench.client.upload({"data": os.urandom(4096)})
