"""A disk that dies at its k-th effect, for every k: nothing whose close returned is lost, nothing is ingested twice."""

from __future__ import annotations

import errno
import threading

import pytest

from pacifica_fs.drop.disk import Disk
from pacifica_fs.errors import PacificaFSError

from .conftest import SIDECAR, Rig

EFFECTS = (
    "open",
    "write",
    "truncate",
    "fsync",
    "chmod",
    "utime",
    "rename",
    "unlink",
    "mkdir",
    "rmdir",
    "send",
    "adopt",
)

WHOLE = {"a": b"Alpha", "sub/b": b"beta" * 100, "c": b"gamma"}


class MortalDisk(Disk):
    """Does `lives` effects, and none after."""

    def __init__(self, lives: int) -> None:
        super().__init__()
        self.lives, self.count = lives, 0
        self.dead = threading.Event()
        self._lock = threading.Lock()

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if name not in EFFECTS:
            return found

        def effect(*args, **kwargs):
            with self._lock:
                self.count += 1
                if self.count > self.lives:
                    self.dead.set()
                    raise OSError(errno.EIO, "the machine is off")
            return found(*args, **kwargs)

        return effect


def day(rig, closed):
    """A user's work; `closed` gets what was closed without an error."""

    def put(path, data):
        rig.put(path, data)
        closed[path.removeprefix("run/")] = data

    run = rig.mkdir("run")
    put("run/a", b"alpha")
    run.mkdir("sub", 0o755)
    put("run/sub/b", b"beta" * 100)
    put("run/.c.Xy12aB", b"gamma")
    run.rename(".c.Xy12aB", run, "c")
    closed["c"] = closed.pop(".c.Xy12aB")
    handle = run.lookup("a").open(1)
    del closed["a"]
    handle.write(memoryview(b"A"), 0)
    handle.flush()
    handle.release()
    closed["a"] = b"Alpha"
    put("run/gone", b"gone")
    del closed["gone"]
    run.unlink("gone")
    put("run/metadata.json", SIDECAR)
    rig.commit("run")


def total_effects(tmp_path):
    rig = Rig(tmp_path / "count")
    rig.disk = MortalDisk(10**9)
    rig.start()
    day(rig, {})
    rig.until_state("done")
    rig.until(rig.drop.idle)
    rig.stop()
    return rig.disk.count


def live_and_die(tmp_path, k):
    rig = Rig(tmp_path / f"k{k}")
    rig.disk = MortalDisk(k)
    closed = {}
    try:
        rig.start()
        day(rig, closed)
        rig.until(lambda: rig.disk.dead.is_set() or rig.drop.idle())
    except (PacificaFSError, OSError):
        assert rig.disk.dead.is_set()
    finally:
        rig.disk.lives = 0
        rig.stop()
    return rig, closed


@pytest.mark.parametrize("part", range(4))
def test_every_effect(tmp_path, part):
    total = total_effects(tmp_path)
    assert total > 60
    for k in range(part, total + 1, 4):
        rig, closed = live_and_die(tmp_path, k)
        rig.disk = Disk()
        rig.start()
        try:
            recover(rig, closed, k)
        finally:
            rig.stop()


def recover(rig, closed, k):
    uploads = rig.drop.uploads()
    assert len(uploads) <= 1, k
    if not uploads:
        assert not closed, k
        return
    if (rig.spooled() / ".commit").exists():
        # The user had said the last word: it goes on by itself.
        rig.until(lambda: rig.upload().state != "open")
    if rig.upload().state in ("open", "held"):
        # The user comes back, and copies again what did not get through.
        for path, data in closed.items():
            names = ("c", ".c.Xy12aB") if data == b"gamma" else (path,)
            assert data in [(rig.spooled() / n).read_bytes() for n in names if (rig.spooled() / n).exists()], (k, path)
        for name in (".c.Xy12aB", "gone"):
            if (rig.spooled() / name).exists():
                rig.at("run").unlink(name)
        for path, data in WHOLE.items():
            again(rig, path, data)
        for node, _ in rig.at("run").entries():
            if node == "metadata.json":
                rig.at("run").unlink(node)
        rig.put("run/metadata.json", SIDECAR)
        again(rig, ".commit", b"")
    if rig.upload().state == "unconfirmed" and not rig.site.containers:
        # It died between the note that the end goes out and the end: only the user can decide, after long asking.
        rig.until_state("held", advance=60)
        rig.drop.retry(rig.upload().id)
    rig.until_state("done", advance=1)
    rig.until(rig.drop.idle)
    assert len(rig.site.containers) == 1, k
    (content,) = rig.site.contents.values()
    assert content == WHOLE, k
    assert rig.site.sends.count(rig.upload().id) <= 2, k


def again(rig, path, data):
    parent, _, name = path.rpartition("/")
    if parent and parent not in [one for one, _ in rig.at("run").entries()]:
        rig.at("run").mkdir(parent, 0o755)
    _, handle = rig.at(f"run/{parent}").create(name, 0o1 | 0o1000, 0o644)
    if data:
        handle.write(memoryview(data), 0)
    handle.flush()
    handle.release()
