"""A mounted daemon is killed thirty times in the middle of its work; each file whose cp ended is archived once."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.mount, pytest.mark.slow, pytest.mark.timeout(300)]

KILLS = 30
SEED = 20
SIDECAR = '{"keys": {"Tag": "first"}}'


class Writer(threading.Thread):
    """Copies runs into the drop until it is stopped, and tries each file again that did not get through."""

    def __init__(self, drop: Path) -> None:
        super().__init__(daemon=True)
        self.drop = drop
        self.stopping = threading.Event()
        self.wanted: dict[str, dict[str, bytes]] = {}
        self.errors = 0

    def run(self) -> None:
        number = 0
        while not self.stopping.wait(0.3):
            number += 1
            name = f"run{number}"
            files = {
                f"f{i}": os.urandom(random.Random(number * 10 + i).choice((0, 10, 5000, 300_000))) for i in range(4)
            }
            self.wanted[name] = files
            for file, data in files.items():
                self.insist(lambda path=self.drop / name / file, data=data: put(path, data))
            self.insist(lambda path=self.drop / name / "metadata.json": put(path, SIDECAR.encode()))
            self.insist(lambda path=self.drop / name: commit(path))

    def insist(self, write) -> None:
        """Again and again, as a user does whose mount goes away."""
        while True:
            try:
                return write()
            except OSError:
                self.errors += 1
                time.sleep(0.02)


def put(path: Path, data: bytes) -> None:
    """What `mkdir -p` and `cp` do."""
    path.parent.parent.stat()
    path.parent.mkdir(exist_ok=True)
    with open(path, "wb") as out:
        out.write(data)


def commit(folder: Path) -> None:
    """`touch .commit`; a bundle that went on by itself meanwhile needs none."""
    fd = os.open(folder / ".commit", os.O_WRONLY | os.O_CREAT, 0o644)
    os.close(fd)


def test_thirty_kills(mounted):
    mount = mounted({"drop": {"quiet": "1h", "quiet_unmarked": "1h", "confirm_after": "3s"}})
    chance = random.Random(SEED)
    writer = Writer(mount.path / "drop" / "here")
    writer.start()
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.02, 0.4))
        os.kill(mount.process.pid, signal.SIGKILL)
        mount.process.join(10)
        subprocess.run(["fusermount3", "-u", "-z", str(mount.path)], check=False, capture_output=True)
        mount.start()
    writer.stopping.set()
    writer.join(60)
    assert not writer.is_alive()
    assert writer.errors, "no kill met a writer"
    check(mount, writer)


def check(mount, writer) -> None:
    """Everything is in the archive, once, byte for byte."""
    deadline = time.monotonic() + 120
    while unfinished := [one for one in uploads(mount) if one["state"] != "done"]:
        assert time.monotonic() < deadline, unfinished
        for one in unfinished:
            if one["state"] == "held" and "unconfirmed" in one["times"]:
                # Killed between the note that the end goes out and the end: its user decides.
                request = json.dumps({"do": "retry", "id": one["id"]}).encode()
                os.setxattr(mount.path / "drop", "user.pacifica.control", request)
            elif one["state"] in ("held", "open"):
                # A file that a kill cut off holds its bundle; the writer wrote it again, and says so again.
                for file, data in writer.wanted[one["name"]].items():
                    put(writer.drop / one["name"] / file, data)
                commit(writer.drop / one["name"])
        time.sleep(0.2)
    names = {one["transaction"]: one["name"] for one in uploads(mount) if one["receipt"]}
    found: dict[str, dict[str, list[str]]] = {}
    for folder in (mount.path / "here" / "transactions").iterdir():
        if not folder.is_dir():
            continue
        name = names[folder.name]
        for path in folder.rglob("*"):
            if path.is_file():
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                found.setdefault(name, {}).setdefault(path.name, []).append(digest)
    for name, files in writer.wanted.items():
        for file, data in files.items():
            assert found[name][file] == [hashlib.sha256(data).hexdigest()], (name, file)


def uploads(mount):
    """Every bundle's status, earlier ones of a name too."""
    folder = mount.path / "status" / "uploads" / "here"
    return [json.loads(path.read_text()) for path in folder.rglob("status.json")]
