"""A drop with a scripted archive, a clock that the test moves, and no thread left behind."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pacifica_fs.config import ArchiveSettings, DropSettings, Duration
from pacifica_fs.drop.disk import Disk
from pacifica_fs.drop.drop import Drop, Target
from pacifica_fs.drop.upload import Upload
from pacifica_fs.errors import NotFound
from pacifica_fs.model import Bundle, Digest, FileRef, Problem, Progress, Ticket

WAIT = 10.0


class HandClock:
    """Stands still until the test moves it."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing in the drop sleeps")


class FakeArchive:
    """Archive and inbox in one: what was sent becomes a container at once, unless the script says otherwise.

    `script` maps `check`, `before`, `last`, `after`, `poll`, `find`, `files` to callables that may raise or answer.
    """

    reversible = True
    hash = "sha1"
    identity = "me"

    def __init__(self) -> None:
        self.script: dict[str, Callable[..., object]] = {}
        self.containers: dict[str, tuple[Bundle, list[FileRef]]] = {}
        self.contents: dict[str, dict[str, bytes]] = {}
        self.sends: list[str] = []
        self.checks: list[Bundle] = []
        self.finds = 0
        self.polls = 0
        self.lock = threading.Lock()

    def _run(self, name: str, *args: object) -> object:
        return self.script[name](*args) if name in self.script else None

    def check(self, bundle: Bundle) -> list[Problem]:
        self.checks.append(bundle)
        answer = self._run("check", bundle)
        return answer if isinstance(answer, list) else []

    def length(self, bundle: Bundle) -> int:
        return bundle.size + 1024

    def send(self, bundle: Bundle, sent: Callable[[int], None], last: Callable[[], None]) -> Ticket:
        self.sends.append(bundle.id)
        self._run("before", bundle, sent)
        contents = {}
        for file in bundle.files:
            data = file.source.read_bytes()
            assert len(data) == file.size
            assert file.digest.algorithm == "sha1"
            hasher = file.digest.hasher()
            hasher.update(data)
            assert hasher.hexdigest() == file.digest.value, file.path
            contents[file.path] = data
            sent(file.size)
        last()
        self._run("last", bundle)
        id = self.ingest(bundle, contents)
        self._run("after", bundle)
        return Ticket(f"job{id}")

    def ingest(self, bundle: Bundle, contents: dict[str, bytes]) -> str:
        with self.lock:
            id = str(1000 + len(self.containers))
            refs = [
                FileRef("site", id, f"{id}-{n}", tuple(f.path.split("/")), f.size, f.mtime_ns, f.digest)
                for n, f in enumerate(bundle.files)
            ]
            self.containers[id] = bundle, refs
            self.contents[id] = contents
            return id

    def poll(self, ticket: Ticket) -> Progress:
        self.polls += 1
        answer = self._run("poll", ticket)
        if isinstance(answer, Progress):
            return answer
        return Progress("done", "ingest metadata", 100.0, container=ticket.job.removeprefix("job"))

    def find(self, bundle: Bundle) -> list[str]:
        self.finds += 1
        answer = self._run("find", bundle)
        if isinstance(answer, list):
            return answer
        return [id for id, (one, _) in self.containers.items() if one.id == bundle.id]

    def files(self, container: str) -> list[FileRef]:
        answer = self._run("files", container)
        if isinstance(answer, list):
            return answer
        if container not in self.containers:
            raise NotFound(container)
        return self.containers[container][1]


class Rig:
    """One spool, and the daemons that own it one after the other."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.site = FakeArchive()
        self.clock = HandClock()
        self.settings = DropSettings(confirm_after=Duration(3600), min_free=0)
        self.archive = ArchiveSettings("site", "fake")
        self.disk = Disk()
        self.adopted: dict[str, bytes] = {}
        self.running: Drop | None = None

    def adopt(self, ref: FileRef, path: Path) -> bool:
        self.adopted["/".join(ref.parts)] = path.read_bytes()
        path.unlink()
        return True

    def make(self) -> Drop:
        target = Target(self.archive, self.site, self.site)
        return Drop(self.root, self.settings, {"site": target}, self.adopt, self.clock, "/mnt/test", self.disk)

    def start(self) -> Drop:
        assert self.running is None
        self.running = self.make()
        self.running.start()
        return self.running

    def stop(self) -> None:
        if self.running is not None:
            self.running.stop()
            self.running = None

    def restart(self) -> Drop:
        self.stop()
        return self.start()

    @property
    def drop(self) -> Drop:
        assert self.running is not None
        return self.running

    @property
    def folder(self):
        return self.drop.folder().lookup("site")

    def mkdir(self, name: str):
        self.folder.mkdir(name, 0o755)
        return self.folder.lookup(name)

    def put(self, path: str, data: bytes = b"data", mode: int = 0o644) -> None:
        """What cp does."""
        parent = self.at(path.rpartition("/")[0])
        _, handle = parent.create(path.rpartition("/")[2], os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            if data:
                assert handle.write(memoryview(data), 0) == len(data)
            handle.flush()
        finally:
            handle.release()

    def at(self, path: str):
        node = self.folder
        for part in filter(None, path.split("/")):
            node = node.lookup(part)
        return node

    def commit(self, name: str) -> None:
        self.put(f"{name}/.commit", b"")

    def upload(self, name: str = "run") -> Upload:
        return next(one for one in self.drop.uploads() if one.name == name)

    def until(self, what: Callable[[], object], advance: float = 0.0) -> None:
        """Wait until `what` is true; `advance` moves the clock by that much at every look."""
        end = time.monotonic() + WAIT
        while not what():
            assert time.monotonic() < end, [(u.name, u.state, u.waiting_for, u.problems) for u in self.drop.uploads()]
            self.clock.time += advance
            self.drop.wake()
            time.sleep(0.005)

    def until_state(self, state: str, name: str = "run", advance: float = 0.0) -> Upload:
        self.until(lambda: self.upload(name).state == state, advance)
        return self.upload(name)

    def spooled(self, name: str = "run") -> Path:
        return self.root / "bundles" / self.upload(name).id / "files"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path / "spool")
    rig.start()
    yield rig
    rig.stop()


SIDECAR = b'{"project": "1234a", "instrument": 54, "keys": {"Tag": "first"}}'


def sha1(data: bytes) -> Digest:
    hasher = Digest("sha1", "").hasher()
    hasher.update(data)
    return Digest("sha1", hasher.hexdigest())
