"""The most memory of a process that reads a CSV file of 2 GiB as a table, types and all, and gives all its records."""

from __future__ import annotations

import subprocess
import sys

from ..bench import MIB, Bench
from ..result import Result

_PROGRAM = """
import resource, sys
from pathlib import Path
from pacifica_fs.archives.ckan.tables import read
table = read(Path(sys.argv[1]), "csv")
assert sum(1 for _ in table.records()) == table.rows
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def measure(bench: Bench) -> list[Result]:
    """One sample: it takes minutes."""
    size = 64 * MIB if bench.quick else 2048 * MIB
    path = bench.folder / "large.csv"
    rows = "".join(f"{i},name {i},2024-01-31T10:00:00,{i * 0.25},some text that is longer {i}\n" for i in range(50_000))
    with path.open("w") as out:
        out.write("id,name,when,value,note\n")
        while out.tell() < size:
            out.write(rows)
    done = subprocess.run([sys.executable, "-c", _PROGRAM, str(path)], check=True, capture_output=True, text=True)
    size_mib = path.stat().st_size // MIB
    path.unlink()
    sample = float(done.stdout)
    return [Result("memory of a large table", "MiB", [sample], goal=200, absolute=True, note=f"{size_mib} MiB CSV")]
