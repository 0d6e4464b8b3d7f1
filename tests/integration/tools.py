"""What the tests with a mount in front of the real services share."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.mount.harness import Mount, bounded

SIDECAR = {"project": "51001", "instrument": 2001, "keys": {"Tag": "first", "Opérateur": "é"}}
MTIME_NS = 1_577_934_245_700_000_000
_NUMBERS = itertools.count(1)


def run(*argv: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """A command as a user would run it; its failure shows its words."""
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=90, **options)
    assert done.returncode == 0, f"{argv}: {done.returncode}: {done.stderr}"
    return done


def content(folder: Path) -> dict[str, str]:
    """Digest by relative path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def write(folder: Path, files: Mapping[str, bytes], mtime_ns: int = MTIME_NS) -> Path:
    """Make `folder` with these files."""
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        os.utime(target, ns=(mtime_ns, mtime_ns))
    return folder


def until(what: str, condition: Callable[[], object], timeout: float = 20) -> Any:
    """The first true value of `condition()`; AssertionError after `timeout` seconds."""
    end = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < end, f"{what}: not after {timeout} s"
        time.sleep(0.05)
    return value


def read(path: Path, timeout: float = 60) -> bytes:
    """A whole file, in bounded time."""
    return bounded(str(path), path.read_bytes, timeout)


class Bundles:
    """Puts folders into the drop of `mount`."""

    def __init__(self, mount: Mount, folder: Path) -> None:
        self.mount = mount
        self.folder = folder

    def drop(
        self,
        files: Mapping[str, bytes],
        sidecar: object = SIDECAR,
        archive: str = "site",
        name: str = "",
        commit: bool = True,
    ) -> str:
        """Copy `files` and their sidecar into a new bundle and say that it is complete; its name."""
        name = name or f"run{next(_NUMBERS)}"
        source = write(self.folder / name, files)
        source.mkdir(exist_ok=True)
        if sidecar is not None:
            (source / "metadata.json").write_text(json.dumps(sidecar))
        run("cp", "-a", source, self.mount.path / "drop" / archive / name)
        if commit:
            self.commit(name, archive)
        return name

    def commit(self, name: str, archive: str = "site") -> None:
        """Say that it is complete."""
        (self.mount.path / "drop" / archive / name / ".commit").touch()

    def done(self, files: Mapping[str, bytes], sidecar: object = SIDECAR, **more: Any) -> Path:
        """Drop, wait, and follow the link to the transaction's folder."""
        name = self.drop(files, sidecar, **more)
        self.mount.wait_state(name, "done", 60)
        return self.transaction(name)

    def transaction(self, name: str, archive: str = "site") -> Path:
        """Where the link of a done bundle leads."""
        return (self.mount.path / "status/uploads" / archive / name / "transaction").resolve()

    def words(self, name: str, archive: str = "site") -> str:
        """`problems.txt`."""
        return self.mount.read(f"status/uploads/{archive}/{name}/problems.txt").decode()
