"""Reading what is not cached: through a cart and through the archive interface, beside bare requests."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.mount.harness import Mount
from tests.servers.pacifica.client import Client

from ..bench import Bench, timed, warm
from ..result import Result

BARE = "POST, HEAD each 50 ms, GET"
SMALL = 4096


def small(bench: Bench) -> Iterator[Result]:
    """One small file, cold, through a cart, with the listing warm."""
    ours, bare = [], []
    with bench.mount(bench.site_tables(archive_interface=None, files_by_hash=None)) as mount:
        for number in range(bench.rounds + 1):
            row = _uploaded(bench.client, os.urandom(SMALL))
            path = _path(mount, row)
            warm(path)
            seconds = timed(path.read_bytes)
            peer = _bare(bench.client, row)
            if number:  # the first round makes the connections
                ours.append(seconds)
                bare.append(peer)
    yield Result("a small file through a cart", "s", ours, BARE, bare, goal=1.3)


def first_byte(bench: Bench) -> Iterator[Result]:
    """The first byte of a large file through a cart, with the listing warm and nothing cached."""
    source = bench.file("big", bench.big)
    bench.say("uploading the large file")
    (row,) = bench.client.files(bench.client.upload({"big": source}))
    source.unlink()
    ours, bare = [], []
    with bench.mount(bench.site_tables(archive_interface=None, files_by_hash=None)) as mount:
        for _ in range(bench.rounds):
            bare.append(_bare(bench.client, row, first=True))
            mount.stop()
            for place in ("cache", "state"):
                shutil.rmtree(mount.environment[f"XDG_{place.upper()}_HOME"], ignore_errors=True)
            mount.start()
            path = _path(mount, row)
            warm(path)
            ours.append(timed(lambda path=path: _first(path)))
    yield Result(f"first byte of {bench.big >> 20} MiB through a cart", "s", ours, BARE, bare, goal=1.3)


def interface(bench: Bench) -> Iterator[Result]:
    """The same small file through the archive interface."""
    ours, bare = [], []
    with bench.mount(bench.site_tables(files_by_hash=None)) as mount:
        for number in range(max(bench.rounds, 10) + 1):
            row = _uploaded(bench.client, os.urandom(SMALL))
            path = _path(mount, row)
            warm(path)
            url = f"{bench.site.archive_interface}/{row['_id']}"
            seconds = timed(path.read_bytes)
            peer = timed(lambda url=url: bench.client.call("GET", url, 200))
            if number:
                ours.append(seconds * 1000)
                bare.append(peer * 1000)
    yield Result("a small file through the archive interface", "ms", ours, "GET", bare, goal=20, absolute=True)


def _uploaded(client: Client, content: bytes) -> dict[str, Any]:
    (row,) = client.files(client.upload({"file.bin": content}))
    return row


def _path(mount: Mount, row: dict[str, Any]) -> Path:
    return mount.path / "site" / "transactions" / str(row["transaction"]) / row["subdir"] / row["name"]


def _first(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        assert file.read(1)


def _bare(client: Client, row: dict[str, Any], first: bool = False) -> float:
    """Seconds until the content (or its first byte) was read; the cart is deleted after that."""
    begun = time.perf_counter()
    with client.cart([row]) as url, client.call("GET", url, 200, params={"filename": "c"}, stream=True) as answer:
        # A folder's header comes first, and the file's.
        for _ in answer.iter_content(2 * 512 + 1 if first else 1 << 20):
            if first:
                break
        return time.perf_counter() - begun
