"""A program that reads the files of a transaction one after the other, beside one cart of all of them made by hand."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator

from ..bench import Bench, timed
from ..result import Result

SMALL = 4096


def scan(bench: Bench) -> Iterator[Result]:
    """100 files in order, with the listing and nothing else known."""
    number = bench.many(100)
    names = [f"run/file{n:03}.dat" for n in range(number)]
    transaction = bench.client.upload({name: os.urandom(SMALL) for name in names})
    rows = bench.client.files(transaction)
    ours, first, bare, cli = [], [], [], []
    with bench.mount(bench.site_tables(archive_interface=None, files_by_hash=None)) as mount:
        for turn in range(bench.rounds):
            folder = mount.path / "site" / "transactions" / str(transaction) / "run"
            paths = sorted(folder.iterdir())
            begun = time.perf_counter()
            for place, path in enumerate(paths):
                if len(path.read_bytes()) != SMALL:
                    raise RuntimeError(f"{path} is not what was uploaded")
                if not place:
                    first.append(time.perf_counter() - begun)
            ours.append(time.perf_counter() - begun)
            bare.append(timed(lambda: _by_hand(bench, rows)))
            target = bench.folder / f"download{turn}"
            begun = time.perf_counter()
            done = bench.site.cli(
                "download", "--transaction-id", str(transaction), "--destination", str(target), cwd=bench.folder
            )
            cli.append(time.perf_counter() - begun)
            if done.returncode:
                raise RuntimeError(f"pacifica-cli: {done.stdout}{done.stderr}")
            shutil.rmtree(target)
            mount.stop()
            for place in ("cache", "state"):
                shutil.rmtree(mount.environment[f"XDG_{place.upper()}_HOME"], ignore_errors=True)
            mount.start()
    what = f"{number} files in order through carts"
    yield Result(what, "s", ours, f"one cart of {number} by hand", bare, goal=1.2)
    yield Result(f"{what}: the first", "s", first, f"one cart of {number} by hand", bare, goal=0.1)
    yield Result(what, "s", ours, "pacifica-cli download", cli)


def _by_hand(bench: Bench, rows: list[dict[str, object]]) -> None:
    client = bench.client
    with client.cart(rows) as url:
        client.call("GET", url, 200, params={"filename": "c"})
