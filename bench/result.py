"""What a measurement is, its table and its JSON."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table


class Result(msgspec.Struct, frozen=True):
    """Samples of one quantity and of the same quantity with a peer; smaller is better.

    `goal` is what the ratio of the medians should not exceed, or with `absolute` the median itself.
    """

    name: str
    unit: str
    samples: Sequence[float]
    peer: str = ""
    peer_samples: Sequence[float] = ()
    goal: float | None = None
    absolute: bool = False
    note: str = ""

    @property
    def median(self) -> float:
        """Ours."""
        return statistics.median(self.samples)

    @property
    def peer_median(self) -> float | None:
        """The peer's."""
        return statistics.median(self.peer_samples) if self.peer_samples else None

    @property
    def ratio(self) -> float | None:
        """Of the medians: ours to the peer's."""
        return self.median / self.peer_median if self.peer_median else None

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        value = self.median if self.absolute else self.ratio
        return None if self.goal is None or value is None else value <= self.goal


def show(results: Sequence[Result], console: Console) -> None:
    """A table of all results."""
    table = Table("what", "n", "median", "min … max", "peer", "median", "ratio", "goal", "note")
    for r in results:
        goal = "" if r.goal is None else f"≤ {r.goal:g}{' ' + r.unit if r.absolute else ' ×'}"
        mark = {True: " [green]yes[/]", False: " [red]no[/]", None: ""}[r.reached]
        table.add_row(
            r.name,
            str(len(r.samples)),
            f"{r.median:.4g} {r.unit}",
            f"{min(r.samples):.3g} … {max(r.samples):.3g}",
            r.peer,
            "" if r.peer_median is None else f"{r.peer_median:.4g} {r.unit}",
            "" if r.ratio is None else f"{r.ratio:.2f}",
            goal + mark,
            r.note,
        )
    console.print(table)


def write(results: Sequence[Result], file: Path, load: tuple[float, float, float], quick: bool) -> None:
    """All samples, with what they were taken on."""
    document = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "quick": quick,
        "commit": _commit(),
        "machine": {
            "processors": os.cpu_count(),
            "kernel": platform.release(),
            "python": platform.python_version(),
            "load": {"before": load, "after": os.getloadavg()},
        },
        "results": [
            {**msgspec.to_builtins(r), "median": r.median, "peer_median": r.peer_median, "ratio": r.ratio}
            for r in results
        ],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    except OSError:
        return ""
