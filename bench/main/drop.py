"""Copying many small files into the drop, where each close is durable, beside cp and fsync."""

from __future__ import annotations

import shutil
import statistics
import sys
from collections.abc import Iterator

from ..bench import Bench, run, timed
from ..result import Result

_COPY_AND_FSYNC = """
import os, shutil, sys
source, target = sys.argv[1:]
os.mkdir(target)
for name in sorted(os.listdir(source)):
    with open(os.path.join(source, name), "rb") as a, open(os.path.join(target, name), "wb") as b:
        shutil.copyfileobj(a, b)
        b.flush()
        os.fsync(b.fileno())
"""


def cp(bench: Bench) -> Iterator[Result]:
    """`cp -r` of 2,000 files of 4 KiB; the peers make the same files as durable as the drop does."""
    number = bench.many(2000)
    source = bench.folder / "small"
    source.mkdir()
    for i in range(number):
        (source / f"file{i:05}.dat").write_bytes(i.to_bytes(8, "little") * 512)
    ours, each, after, cpu = [], [], [], []
    with bench.mount(bench.local_tables()) as mount:

        def into_the_drop(i: int) -> None:
            before = mount.cpu_seconds()
            ours.append(timed(lambda: run("cp", "-r", source, mount.path / "drop" / "here" / f"small{i}")))
            cpu.append((mount.cpu_seconds() - before) / number * 1000)

        def with_an_fsync_of_each(i: int) -> None:
            target = bench.folder / f"each{i}"
            each.append(timed(lambda: run(sys.executable, "-c", _COPY_AND_FSYNC, source, target)))

        def then_an_fsync_of_all(i: int) -> None:
            target = bench.folder / f"after{i}"

            def copy() -> None:
                run("cp", "-r", source, target)
                run("sync", *sorted(target.iterdir()))

            after.append(timed(copy))

        # Nothing is removed before the end: ext4 searches long for an inode where many were removed just now, which
        # would be counted against whoever comes next. And nobody is always the first.
        turns = [into_the_drop, with_an_fsync_of_each, then_an_fsync_of_all]
        for i in range(bench.rounds):
            for turn in turns if i % 2 else reversed(turns):
                turn(i)
    for folder in [*bench.folder.glob("each*"), *bench.folder.glob("after*")]:
        shutil.rmtree(folder)
    what = f"cp of {number} small files into the drop"
    note = f"daemon {statistics.median(cpu):.2f} CPU ms a file"
    yield Result(what, "s", ours, "cp with an fsync of each", each, goal=1.5, note=note)
    yield Result(what, "s", ours, "cp, then fsync of all", after)
