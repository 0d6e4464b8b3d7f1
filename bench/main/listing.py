"""`ls -l` of a large folder, beside the same on ext4."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ..bench import Bench, drop, run, timed
from ..result import Result

_DROP_NAMES = Path("/proc/sys/vm/drop_caches")


def ls(bench: Bench) -> Iterator[Result]:
    """A fresh mount; the kernel's names dropped; again. Where we are cold, ext4 is, too (as root)."""
    number = bench.many(20_000)
    folder = bench.folder / "many"
    folder.mkdir()
    for i in range(number):
        (folder / f"file{i:06}.dat").write_bytes(b"%d\n" % i)
    fresh, cold, again, ext4, ext4_cold = [], [], [], [], []
    with bench.mount(bench.local_tables()) as mount:
        bench.say(f"putting {number} files into the local archive")
        listed = Path(drop(mount, "here", "many", folder, bench.sidecar()))
        for _ in range(bench.rounds):
            mount.restart()
            fresh.append(timed(lambda: _ls(listed)))
            again.append(timed(lambda: _ls(listed)))
            if os.access(_DROP_NAMES, os.W_OK):
                _DROP_NAMES.write_text("2")
                cold.append(timed(lambda: _ls(listed)))
                _DROP_NAMES.write_text("2")
                ext4_cold.append(timed(lambda: _ls(folder)))
            else:
                _ls(folder)
            ext4.append(timed(lambda: _ls(folder)))
    what = f"ls -l of {number} files"
    note = "with the daemon's own first listing"
    yield Result(f"{what}: fresh mount", "s", fresh, "ext4, warm", ext4, goal=None if cold else 2.2, note=note)
    if cold:
        yield Result(f"{what}: fresh mount", "s", fresh, "ext4, cold", ext4_cold, goal=2.2, note=note)
        yield Result(f"{what}: kernel cold, daemon warm", "s", cold, "ext4, cold", ext4_cold, goal=2.2)
    yield Result(f"{what}: again", "s", again, "ext4, warm", ext4)


def _ls(folder: Path) -> None:
    with open(os.devnull, "wb") as nowhere:
        run("ls", "-l", folder, stdout=nowhere, env={"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]})
