"""What every measurement works with: a folder on disk, a site, mounts, sizes, and a clock."""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from tests.mount.harness import Mount
from tests.servers.guard import Guard
from tests.servers.pacifica import Site
from tests.servers.pacifica.client import Client

MIB = 1 << 20
T = TypeVar("T")


class Bench:
    """One run. A context manager; services and mounts end with it."""

    def __init__(self, rounds: int, quick: bool, folder: Path | None, say: Callable[[str], None]) -> None:
        self.rounds = rounds
        self.quick = quick
        self.say = say
        self._stack = ExitStack()
        self._parent = folder
        self._mounts = 0
        self.shared: dict[str, Any] = {}  # what several measurements use, by who made it

    def __enter__(self) -> Bench:
        self.guard = self._stack.enter_context(Guard())
        self.folder = Path(tempfile.mkdtemp(prefix="pacifica-bench-", dir=self._parent))
        self.guard.folder(self.folder)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()  # the guard, which ends last, removes the folder

    def enter(self, made: AbstractContextManager[T]) -> T:
        """Something that ends with the run."""
        return self._stack.enter_context(made)

    @property
    def big(self) -> int:
        """Bytes of a large file: 1 GiB, with `--quick` 64 MiB."""
        return 64 * MIB if self.quick else 1024 * MIB

    def many(self, number: int) -> int:
        """So many files, with `--quick` a tenth."""
        return number // 10 if self.quick else number

    @cached_property
    def site(self) -> Site:
        """The Pacifica services, started by who asks first."""
        self.say("starting the Pacifica services")
        return self._stack.enter_context(Site.prepare(self.guard))

    @cached_property
    def client(self) -> Client:
        """The bare client of that site."""
        return Client(self.site)

    @contextmanager
    def mount(self, tables: Mapping[str, Any]) -> Iterator[Mount]:
        """A mount with folders of its own.

        What it cached stays until the end, but for large files: a disk that has just lost thousands of files takes far
        longer than others to make new ones.
        """
        self._mounts += 1
        mount = Mount(self.folder / f"mount{self._mounts}", tables, self.guard)
        mount.start()
        try:
            yield mount
            mount.stop()
        finally:
            mount.remove()
            for path in mount.folder.rglob("*"):
                if path.is_file() and path.stat().st_size > MIB:
                    path.unlink()

    def site_tables(self, **options: Any) -> dict[str, Any]:
        """A configuration with the site as archive `site`; an option of None leaves that server out."""
        return {"archives": {"site": self.site.archive_table(**options)}}

    def local_tables(self) -> dict[str, Any]:
        """A configuration with a local archive `here`."""
        return {"archives": {"here": {"kind": "local", "path": str(self.folder / f"archive{self._mounts + 1}")}}}

    def file(self, name: str, size: int) -> Path:
        """A file of random bytes on disk."""
        path = self.folder / name
        with path.open("wb") as out:
            for start in range(0, size, MIB):
                out.write(os.urandom(min(MIB, size - start)))
        return path

    def sidecar(self) -> str:
        """metadata.json of a bundle for either archive."""
        site = {"submitter": Site.user, "project": Site.project, "instrument": Site.instrument}
        return json.dumps({**site, "keys": {"Tag": "bench"}})


def fresh_memory(size: int) -> None:
    """Have so many bytes of memory ready for the page cache, free and touched.

    A virtual machine gets a page from its host when it first touches it, which takes several times as long as filling
    one that was in use before. Who writes first would pay that for all who come after.
    """
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    mmap.mmap(-1, max(MIB, min(size, free * 3 // 4)), flags=flags).close()


def timed(function: Callable[[], object]) -> float:
    """Seconds that it takes."""
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def run(*command: str | Path, **more: Any) -> None:
    """Run a program; CalledProcessError if it fails."""
    subprocess.run([str(word) for word in command], check=True, stdin=subprocess.DEVNULL, **more)


def touch(file: Path) -> None:
    """Create an empty file."""
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT, 0o644))


def stamp(file: Path, number: int) -> None:
    """Make a file's content one that was never there before."""
    with file.open("r+b") as out:
        out.write(number.to_bytes(8, "little") + os.urandom(8))


def drop(mount: Mount, archive: str, name: str, source: Path, sidecar: str, timeout: float = 900) -> str:
    """Put the files of a folder through the drop: the path of the transaction's folder, once it is done."""
    target = mount.path / "drop" / archive / name
    run("cp", "-r", source, target)
    (target / "metadata.json").write_text(sidecar)
    touch(target / ".commit")
    status = mount.wait_state(name, "done", timeout, archive)
    return str(mount.path / archive / "transactions" / str(status["transaction"]))


def warm(path: Path) -> None:
    """Have the listing of a file's folder, and its attributes, in the daemon's memory."""
    with os.scandir(path.parent) as entries:
        for _ in entries:
            pass
    path.stat()
