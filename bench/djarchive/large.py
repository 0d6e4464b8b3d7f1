"""One large file, from start to end: cold, and again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..bench import MIB, Bench, fresh_memory, run, timed
from ..result import Result
from .bucket import bucket
from .peers import mounted, peers
from .tables import OURS, Samples, beside


def sequential(bench: Bench) -> Iterator[Result]:
    """Cold, beside one stream of curl to /dev/null and the other mounts."""
    made = bucket(bench)
    key = f"{made.large}/big.bin"
    samples: Samples = {OURS: [], "curl, one stream": []}
    for _ in range(bench.rounds):
        samples["curl, one stream"].append(timed(lambda: run("curl", "-sfo", "/dev/null", made.url(key))))
        fresh_memory(3 * bench.big)
        with made.mount() as mount:
            samples[OURS].append(timed(lambda path=mount.path: _read(path / "elements" / key)))
        for name, command in peers(made).items():
            fresh_memory(3 * bench.big)
            with mounted(made, name, command) as other:
                samples.setdefault(name, []).append(timed(lambda path=other.path: _read(path / key)))
    yield from beside(
        f"{bench.big >> 20} MiB sequential, cold", "s", samples, {"curl, one stream": 1 / 0.6, "rclone tuned": 1.0}
    )


def warm(bench: Bench) -> Iterator[Result]:
    """Again: how much of it the daemon answers."""
    made = bucket(bench)
    key = f"{made.large}/big.bin"
    answered: list[float] = []
    samples: Samples = {OURS: []}
    with made.mount() as mount:
        path = mount.path / "elements" / key
        _read(path)
        _read(path)
        for _ in range(bench.rounds):
            before = mount.io_counters()
            samples[OURS].append(timed(lambda: _read(path)))
            answered.append((mount.io_counters()["wchar"] - before["wchar"]) / bench.big * 100)
    commands = peers(made)
    if "s3fs tuned" in commands:
        with mounted(made, "s3fs tuned", commands["s3fs tuned"]) as other:
            _read(other.path / key)
            samples["s3fs tuned"] = [timed(lambda: _read(other.path / key)) for _ in range(bench.rounds)]
    yield Result("a large file again: answered by the daemon", "% of it", answered, goal=0.5, absolute=True)
    yield from beside(f"{bench.big >> 20} MiB sequential, warm", "s", samples, {})


def _read(path: Path) -> None:
    buffer = bytearray(MIB)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
