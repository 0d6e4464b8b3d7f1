"""Nothing outlives the tests: a small process that ends what they started, should they die without doing it themselves.

It holds one end of a pipe. When the other end closes (a test run that was killed or crashed, so that its finalizers did
not run) it kills the process groups, detaches the mounts and removes the folders it was told of. Unlike a parent-death
signal this reaches grandchildren, does not depend on the thread that forked, and is not reset by a change of user.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path


class Guard:
    """One for a test session. Methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).absolute())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def process(self, pid: int) -> None:
        """`pid` leads a process group that is to end with us."""
        self._tell("process", pid, start_time(pid))

    def forget_process(self, pid: int) -> None:
        """It has ended."""
        self._tell("forget_process", pid)

    def mount(self, path: Path) -> None:
        """Something will be mounted at `path`."""
        self._tell("mount", str(path))

    def forget_mount(self, path: Path) -> None:
        """It has been unmounted."""
        self._tell("forget_mount", str(path))

    def folder(self, path: Path) -> None:
        """`path` is to be removed with us."""
        self._tell("folder", str(path))

    def forget_folder(self, path: Path) -> None:
        """It has been removed, or is to stay."""
        self._tell("forget_folder", str(path))

    def close(self) -> None:
        """Clean up what is still registered, and end; returns when that is done (at most 30 s)."""
        with self._lock:
            if self._process.stdin and not self._process.stdin.closed:
                self._process.stdin.close()
        self._process.wait(timeout=30)

    def _tell(self, *words: object) -> None:
        with self._lock:
            pipe = self._process.stdin
            if pipe and not pipe.closed:
                pipe.write(json.dumps(words) + "\n")
                pipe.flush()


def start_time(pid: int) -> str:
    """When `pid` was started, in ticks since boot; "" if there is no such process (a pid may be used again)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def runs(pid: int, started: str) -> bool:
    """True if the process that was started then still runs (and is not only waiting to be buried)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return fields[19] == started and fields[0] != "Z"


def mounts_below(path: str) -> list[tuple[str, str]]:
    """(mount point, device as `major:minor`) at and below `path`, innermost first; asks no file system."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        device, _, point = line.split()[2:5]
        point = point.encode().decode("unicode_escape").encode("latin-1").decode("utf-8", "surrogateescape")
        if point == path or point.startswith(path.rstrip("/") + "/"):
            found.append((point, device))
    return found[::-1]


def detach(path: str) -> None:
    """Take every FUSE mount at or below `path` away; never waits for the daemon.

    The connection is aborted while the mount is still listed: its number, once free, soon belongs to somebody else's.
    """
    for point, device in mounts_below(path):
        abort(device)
        for command in (["umount", "-l", point], ["fusermount3", "-uzq", point]):
            try:
                if subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0:
                    break
            except (OSError, subprocess.TimeoutExpired):
                pass


def abort(device: str) -> bool:
    """Abort the FUSE connection of `major:minor`: whoever waits for it gets an error.

    False if there is none, or where the kernel's control files are not mounted (in containers).
    """
    try:
        Path(f"/sys/fs/fuse/connections/{device.partition(':')[2]}/abort").write_text("1")
    except OSError:
        return False
    return True


def _clean(processes: dict[int, str], mounts: list[str], folders: list[str]) -> None:
    for pid, started in processes.items():
        if started and start_time(pid) == started:
            for kill, how in ((os.kill, signal.SIGQUIT), (os.killpg, signal.SIGKILL)):
                try:
                    kill(pid, how)
                except OSError:
                    pass
    for mount in mounts:
        detach(mount)
    for folder in folders:
        detach(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    processes: dict[int, str] = {}
    mounts: list[str] = []
    folders: list[str] = []
    for line in sys.stdin:
        word, subject, *rest = json.loads(line)
        if word == "process":
            processes[subject] = rest[0]
        elif word == "forget_process":
            processes.pop(subject, None)
        else:
            paths = mounts if word.endswith("mount") else folders
            if not word.startswith("forget"):
                paths.append(subject)
            elif subject in paths:
                paths.remove(subject)
    _clean(processes, mounts, folders)


if __name__ == "__main__":
    _main()
