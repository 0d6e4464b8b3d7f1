"""Copying many small files into the drop, where each close is durable, beside cp and fsync."""

from __future__ import annotations

import shutil
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
    ours, each, after = [], [], []
    with bench.mount(bench.local_tables()) as mount:
        for i in range(bench.rounds):
            target = bench.folder / "copy"
            ours.append(timed(lambda i=i: run("cp", "-r", source, mount.path / "drop" / "here" / f"small{i}")))
            each.append(timed(lambda target=target: run(sys.executable, "-c", _COPY_AND_FSYNC, source, target)))
            shutil.rmtree(target)

            def copy_then_sync(target=target) -> None:
                run("cp", "-r", source, target)
                run("sync", *sorted(target.iterdir()))

            after.append(timed(copy_then_sync))
            shutil.rmtree(target)
    what = f"cp of {number} small files into the drop"
    yield Result(what, "s", ours, "cp with an fsync of each", each, goal=1.5)
    yield Result(what, "s", ours, "cp, then fsync of all", after)
