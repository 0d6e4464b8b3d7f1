"""A mount for a test: a daemon in a process of its own, with its own folders, gone afterwards whatever happened.

Whatever looks into the mount here has a time limit, so that a hanging daemon fails a test and never hangs it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tests.servers.guard import Guard, abort, detach, mounts_below
from tests.servers.process import NotReady, Process

from .toml import dump

T = TypeVar("T")

COMMAND = (sys.executable, "-m", "pacifica_fs")
READY = 30.0
STOP = 20.0
TRACEBACK = "Traceback (most recent call last):"


def bounded(what: str, function: Callable[[], T], timeout: float = 10) -> T:
    """`function()` in a thread of its own; TimeoutError if it is not back in time (the thread stays behind)."""
    outcome: list[tuple[T | None, BaseException | None]] = []

    def run() -> None:
        try:
            outcome.append((function(), None))
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            outcome.append((None, error))

    thread = threading.Thread(target=run, name=f"bounded: {what}", daemon=True)
    thread.start()
    thread.join(timeout)
    if not outcome:
        raise TimeoutError(f"{what}: no answer after {timeout} s")
    value, error = outcome[0]
    if error is not None:
        raise error
    return value  # type: ignore[return-value]


class Mount:
    """One mount point and its daemon. `folder` holds all of it: `mnt/`, the configuration, the log, HOME, XDG folders.

    `path` is the mount point, `log` the daemon's output, `process` the daemon (`.pid`, `.alive()`).
    For one thread at a time.
    """

    def __init__(
        self,
        folder: Path,
        tables: Mapping[str, Any],
        guard: Guard,
        *,
        options: Sequence[str] = (),
        environment: Mapping[str, str] = {},
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.folder = folder
        self.path = folder / "mnt"
        self.log = folder / "daemon.log"
        self.config = folder / "config.toml"
        self.environment = {**own_folders(folder), **environment}
        self.path.mkdir(parents=True, exist_ok=True)
        self.configure(tables)
        self._guard = guard
        self._expected: list[str] = []
        arguments = [*command, "mount", "-f", "-v", "-c", str(self.config), *options, str(self.path)]
        self.process = Process("the daemon", arguments, guard=guard, log=self.log, env=self.environment, cwd=folder)

    def configure(self, tables: Mapping[str, Any]) -> None:
        """Write the configuration, for the next start."""
        self.config.write_text(dump(tables))

    def start(self, timeout: float = READY) -> None:
        """Start the daemon; returns when the mount answers. NotReady shows the log."""
        self._guard.mount(self.path)
        self.process.start()
        try:
            self.process.wait(self.ready, time.monotonic() + timeout)
        except NotReady:
            self.remove()
            raise

    def ready(self) -> bool:
        """True if something of a file system of its own answers at the mount point."""
        if not self.device:
            return False
        try:
            return isinstance(bounded("listing of status/", lambda: os.listdir(self.path / "status"), 2), list)
        except (OSError, TimeoutError):
            return False

    @property
    def device(self) -> str:
        """`major:minor` of the mounted file system, "" if none is; asks the kernel and not the daemon."""
        return next((device for point, device in mounts_below(str(self.path)) if point == str(self.path)), "")

    def stop(self, timeout: float = STOP) -> int:
        """SIGTERM, and its exit code. AssertionError if it had to be killed after `timeout`, or left its mount."""
        if not self.process.alive():
            self.remove()
            return 0
        self.process.interrupt()
        code = self.process.join(timeout)
        mounted = self.device
        self.remove()
        assert code is not None, (
            f"the daemon did not end within {timeout} s of SIGTERM; its log:\n{self.process.tail()}"
        )
        assert not mounted, f"the daemon ended but left its mount; its log:\n{self.process.tail()}"
        return code

    def restart(self) -> None:
        """Stop it properly if it runs, and start it again with the same folders."""
        self.stop()
        self.start()

    @property
    def state(self) -> Path:
        """The daemon's precious files."""
        return Path(self.environment["XDG_STATE_HOME"]) / "pacifica-fs"

    @property
    def spool(self) -> Path:
        """Where the drop keeps bundles."""
        return self.state / "spool"

    def forget_cache(self) -> None:
        """Restart with an empty content store."""
        self.stop()
        shutil.rmtree(Path(self.environment["XDG_CACHE_HOME"]) / "pacifica-fs/content")
        self.start()

    def kill9(self) -> None:
        """SIGKILL: the mount point stays behind dead, as after a crash. `start` mounts again."""
        self.process.kill()

    def abort(self) -> None:
        """Make the kernel answer every request of this mount with an error: frees who hangs on it. From any thread."""
        if self.device and not abort(self.device):
            # Where connections cannot be aborted, the death of the only daemon does the same.
            self.process.signal(signal.SIGKILL)

    def remove(self) -> None:
        """End daemon and mount, whatever state they are in."""
        self.process.kill()
        detach(str(self.path))
        self._guard.forget_mount(self.path)

    def read(self, path: str, timeout: float = 10) -> bytes:
        """The content of a small file of the mount."""
        return bounded(path, (self.path / path).read_bytes, timeout)

    def json(self, path: str) -> Any:
        """The content of a JSON file of the mount."""
        return json.loads(self.read(path))

    def ls(self, path: str = ".", timeout: float = 10) -> list[str]:
        """The names in a folder of the mount, sorted."""
        return bounded(path, lambda: sorted(os.listdir(self.path / path)), timeout)

    def status(self, name: str, archive: str | None = None) -> dict[str, Any]:
        """`status/uploads/ARCHIVE/NAME/status.json` of this or of any archive; FileNotFoundError if there is none."""
        archives = [archive] if archive else self.ls("status/uploads")
        for candidate in archives:
            try:
                status: dict[str, Any] = self.json(f"status/uploads/{candidate}/{name}/status.json")
            except FileNotFoundError:
                continue
            return status
        raise FileNotFoundError(f"no bundle {name!r} in status/uploads of {', '.join(archives) or 'any archive'}")

    def downloads(self) -> Any:
        """`status/downloads.json`."""
        return self.json("status/downloads.json")

    def wait_state(
        self, name: str, state: str | Collection[str], timeout: float = 60, archive: str | None = None
    ) -> dict[str, Any]:
        """The bundle's status once it is in (one of) this state; AssertionError tells what it was instead, and why."""
        wanted = {state} if isinstance(state, str) else set(state)
        deadline = time.monotonic() + timeout
        status: dict[str, Any] = {}
        while status.get("state") not in wanted:
            over = time.monotonic() > deadline or not self.process.alive() or status.get("state") == "failed"
            assert not over, self._why_not(name, wanted, status, timeout)
            time.sleep(0.05)
            try:
                status = self.status(name, archive)
            except FileNotFoundError:
                status = {"state": "(not there)"}
        return status

    def expect_traceback(self, pattern: str) -> None:
        """Tracebacks in whose text this regular expression is found are meant to be in the log."""
        self._expected.append(pattern)

    def unexpected_tracebacks(self) -> list[str]:
        """Tracebacks in the log of all starts that no `expect_traceback` covers."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return [found for found in tracebacks(text) if not any(re.search(e, found) for e in self._expected)]

    def cpu_seconds(self) -> float:
        """Processor time of the daemon so far, user and system."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def io_counters(self) -> dict[str, int]:
        """The daemon's `/proc/PID/io`: `syscr` grows with each request, `wchar` with each byte that it answers."""
        lines = Path(f"/proc/{self.process.pid}/io").read_text().splitlines()
        return {name: int(number) for name, _, number in (line.partition(": ") for line in lines)}

    def rss_peak(self) -> int:
        """The largest resident size of the daemon so far, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found[1]) * 1024

    def _why_not(self, name: str, wanted: set[str], status: Mapping[str, Any], timeout: float) -> str:
        text = f"bundle {name!r} is not {' or '.join(sorted(wanted))} after at most {timeout} s but:\n"
        text += json.dumps(status, indent=2, ensure_ascii=False)
        if not self.process.alive():
            text += "\nthe daemon has ended"
        return f"{text}\nthe daemon's log:\n{self.process.tail(60)}"


def own_folders(folder: Path) -> dict[str, str]:
    """An environment of its own: nothing of the user's is read or written, no proxy, no keyring."""
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder / "home"),
        "LC_ALL": "C.UTF-8",
        "NO_PROXY": "*",
        "PYTHONFAULTHANDLER": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "TMPDIR": str(folder / "tmp"),
    }
    for name in ("config", "state", "cache", "data", "runtime"):
        environment[f"XDG_{name.upper()}_{'DIR' if name == 'runtime' else 'HOME'}"] = str(folder / "xdg" / name)
    for name, value in environment.items():
        if name.startswith("XDG_") or name in ("HOME", "TMPDIR"):
            Path(value).mkdir(parents=True, exist_ok=True, mode=0o700)
    return environment


def tracebacks(text: str) -> list[str]:
    """Each traceback of a log with its exception's line and the line before it."""
    lines = text.splitlines()
    found = []
    for start, line in enumerate(lines):
        if TRACEBACK not in line:
            continue
        end = start + 1
        while end < len(lines) and lines[end].startswith((" ", "\t")):
            end += 1
        found.append("\n".join(lines[max(0, start - 1) : end + 1]))
    return found
