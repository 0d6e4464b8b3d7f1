"""Scattered reads of 4 KiB in a large file, cold: how many, and at what price in bytes fetched."""

from __future__ import annotations

import os
import random as chance
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from ..bench import MIB, Bench
from ..result import Result
from .bucket import bucket
from .peers import mounted, peers
from .tables import OURS, Samples, beside

SECONDS = 5.0
BLOCK = 4096


def random(bench: Bench) -> Iterator[Result]:
    """With one and eight threads: milliseconds a read, in the first second and over five."""
    made = bucket(bench)
    key = f"{made.large}/big.bin"
    for jobs in (1, 8):
        early: Samples = {OURS: []}
        all_: Samples = {OURS: []}
        price: list[float] = []
        memory: Samples = {OURS: []}
        for _ in range(max(1, bench.rounds // 2)):
            with made.mount() as mount:
                path = mount.path / "elements" / key
                path.stat()
                first, total, then = _run(path, bench.big, jobs, lambda mount=mount: _fetched(mount))
                early[OURS].append(1000 / max(1, first))
                all_[OURS].append(1000 * SECONDS / max(1, total))
                price.append(then / max(1, first) / BLOCK)
                memory[OURS].append(mount.rss_peak() / MIB)
            commands = peers(made)
            if "rclone tuned" in commands:
                with mounted(made, "rclone tuned", commands["rclone tuned"]) as other:
                    first, total, _ = _run(other.path / key, bench.big, jobs, lambda: 0)
                    early.setdefault("rclone tuned", []).append(1000 / max(1, first))
                    all_.setdefault("rclone tuned", []).append(1000 * SECONDS / max(1, total))
                    memory.setdefault("rclone tuned", []).append(other.rss_peak() / MIB)
        what = f"a random 4 KiB, {jobs} jobs"
        yield Result(f"{what}, first second", "ms", early[OURS], goal=1000 / 300, absolute=True)
        yield Result(f"{what}, first second: bytes fetched a byte read", "×", price, goal=32, absolute=True)
        yield from beside(f"{what}, first second", "ms", early, {})
        yield from beside(f"{what}, over {SECONDS:.0f} s", "ms", all_, {"rclone tuned": 1.0})
        yield Result(f"memory: random, {jobs} jobs", "MiB", memory[OURS], goal=200, absolute=True)
        yield from beside(f"memory: random, {jobs} jobs", "MiB", memory, {})


def _fetched(mount: object) -> int:
    """Bytes that the daemon has of all files, or is bringing."""
    usage = mount.json("status/cache.json")  # type: ignore[attr-defined]
    return int(usage["size"])


def _run(path: Path, size: int, jobs: int, fetched: object) -> tuple[int, int, int]:
    """Reads in the first second and in all, and the bytes fetched in the first second."""
    done = [0] * jobs
    begun = time.monotonic()

    def read(job: int) -> None:
        dice = chance.Random(job)
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        try:
            while time.monotonic() - begun < SECONDS:
                os.pread(fd, BLOCK, dice.randrange(size // BLOCK) * BLOCK)
                done[job] += 1
        finally:
            os.close(fd)

    threads = [threading.Thread(target=read, args=(job,)) for job in range(jobs)]
    for thread in threads:
        thread.start()
    time.sleep(max(0.0, begun + 1 - time.monotonic()))
    first, price = sum(done), fetched()  # type: ignore[operator]
    for thread in threads:
        thread.join()
    return first, sum(done), price
