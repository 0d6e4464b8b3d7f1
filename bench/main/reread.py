"""Reading what is cached: what reaches the daemon, and what it costs it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.mount.harness import Mount

from ..bench import MIB, Bench, drop, timed, warm
from ..result import Result


def again(bench: Bench) -> Iterator[Result]:
    """A file read a second time: the bytes that the daemon answered meanwhile, beside the file's."""
    size = 64 * MIB
    answered, requests, ours, direct = [], [], [], []
    with bench.mount(bench.local_tables()) as mount:
        source, path = _ingested(bench, mount, size)
        _read(path)
        for _ in range(bench.rounds):
            before = mount.io_counters()
            ours.append(timed(lambda: _read(path)))
            after = mount.io_counters()
            answered.append((after["wchar"] - before["wchar"]) / size * 100)
            requests.append(after["syscr"] - before["syscr"])
            direct.append(timed(lambda: _read(source)))
    note = f"{min(requests):.0f} to {max(requests):.0f} requests in all; a READ has up to 1 MiB"
    yield Result("a cached file again: answered by the daemon", "% of it", answered, goal=0.5, absolute=True, note=note)
    yield Result("a cached file again: time", "s", ours, "ext4", direct)


def first(bench: Bench) -> Iterator[Result]:
    """The first read after a mount of a large blob that is complete: the daemon's processor time."""
    cpu, ours, direct = [], [], []
    with bench.mount(bench.local_tables()) as mount:
        source, path = _ingested(bench, mount, bench.big)
        for _ in range(bench.rounds):
            mount.restart()
            warm(path)
            _read(source)
            before = mount.cpu_seconds()
            ours.append(timed(lambda: _read(path)))
            cpu.append(mount.cpu_seconds() - before)
            direct.append(timed(lambda: _read(source)))
    size = f"{bench.big >> 20} MiB"
    goal = 0.35 * bench.big / (1024 * MIB)
    yield Result(f"first read of a complete blob of {size}: daemon", "CPU s", cpu, goal=goal, absolute=True)
    yield Result(f"first read of a complete blob of {size}: time", "s", ours, "ext4", direct)


def _ingested(bench: Bench, mount: Mount, size: int) -> tuple[Path, Path]:
    """A file on disk, and the same file in the archive."""
    folder = bench.folder / "reread"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    source = bench.file("reread/file.bin", size)
    bench.say(f"putting {size >> 20} MiB into the local archive")
    transaction = drop(mount, "here", f"reread{size}", folder, bench.sidecar())
    return source, Path(transaction) / "file.bin"


def _read(path: Path) -> None:
    buffer = bytearray(MIB)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
