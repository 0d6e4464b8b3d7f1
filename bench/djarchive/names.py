"""Names and attributes, cold."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ..bench import MIB, Bench, run, timed
from ..result import Result
from .bucket import bucket
from .peers import mounted, peers
from .tables import OURS, Samples, beside


def names(bench: Bench) -> Iterator[Result]:
    """`find` and `ls -lR` of the small files."""
    made = bucket(bench)
    id = made.small
    for words in (["find"], ["ls", "-lR"]):
        samples: Samples = {OURS: []}
        for _ in range(bench.rounds):
            with made.mount() as mount:
                samples[OURS].append(timed(partial(_walk, words, mount.path / "elements" / id)))
            for name, command in peers(made).items():
                if name == "rclone tuned":
                    with mounted(made, name, command) as other:
                        samples.setdefault(name, []).append(timed(partial(_walk, words, other.path / id)))
        what = f"{' '.join(words)} of {bench.many(5000)} files, cold"
        yield from beside(what, "s", samples, {"rclone tuned": 0.5})


def one(bench: Bench) -> Iterator[Result]:
    """One file of a folder with 50,000, on a fresh mount; then all names, and the daemon's memory."""
    made = bucket(bench)
    id = made.huge
    number = bench.many(50_000)
    samples: Samples = {OURS: []}
    memory: Samples = {OURS: []}
    for _ in range(bench.rounds):
        with made.mount() as mount:
            folder = mount.path / "elements" / id
            samples[OURS].append(timed(lambda folder=folder: run("cat", folder / "f00077", stdout=subprocess.DEVNULL)))
            _walk(["find"], folder)
            memory[OURS].append(mount.rss_peak() / MIB)
        for name, command in peers(made).items():
            if name == "rclone":
                continue
            with mounted(made, name, command) as other:
                folder = other.path / id
                samples.setdefault(name, []).append(
                    timed(lambda folder=folder: run("cat", folder / "f00077", stdout=subprocess.DEVNULL))
                )
                if name == "rclone tuned":
                    _walk(["find"], folder)
                    memory.setdefault(name, []).append(other.rss_peak() / MIB)
    yield from beside(f"one file of {number}, fresh mount", "s", samples, {"s3fs tuned": 1.5, "rclone tuned": 1.5})
    yield Result(f"memory after the names of {number} files", "MiB", memory[OURS], goal=150, absolute=True)
    yield from beside(f"memory after the names of {number} files", "MiB", memory, {})


def _walk(words: list[str], folder: Path) -> None:
    run(words[0], *words[1:], folder, stdout=subprocess.DEVNULL)
