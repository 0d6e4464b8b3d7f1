"""A mount in the background: a child process with a session of its own, which says when it is ready.

No fork in a process that has threads: the command starts itself anew with `--foreground`, and waits for one line.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence

import msgspec

VARIABLE = "PACIFICA_FS_READY_FD"
_READY, _FAILED = b"ready\n", b"failed\n"


class Started(msgspec.Struct, frozen=True):
    """What became of the child: `pid`; `code` 0 when it is ready, else its exit code (1 if it still ran); `error` for
    the user."""

    pid: int
    code: int
    error: str = ""


class Announcement:
    """The child's end of the pipe; does nothing where nobody waits. Its methods may be called from any thread."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Announcement:
        """The pipe that `spawn` made, if this process was started so."""
        value = (os.environ if environ is None else environ).get(VARIABLE, "")
        return cls(int(value) if value.isdigit() else None)

    def ready(self) -> None:
        """The mount answers: the parent returns, and the terminal is let go."""
        if self._say(_READY):
            with open(os.devnull, "r+b", 0) as null:
                for standard in (1, 2):
                    os.dup2(null.fileno(), standard)

    def failed(self, message: str) -> None:
        """It will not be; `message` is for the user. The process should end now."""
        self._say(_FAILED + message.encode())

    def _say(self, data: bytes) -> bool:
        fd, self._fd = self._fd, None
        if fd is None:
            return False
        with contextlib.suppress(BrokenPipeError), open(fd, "wb", 0) as pipe:
            pipe.write(data)
        return True


def spawn(argv: Sequence[str], limit: float = 60.0, environ: Mapping[str, str] | None = None) -> Started:
    """Start `argv` in the background and wait at most `limit` seconds until it is ready, says why not, or ends.

    The child finds its pipe by `Announcement.from_environment`. Its standard output and error are kept until it
    is ready, so that a crash explains itself. A child that is late is ended.
    """
    inner, outer = os.pipe()[::-1]
    with open(outer, "rb", 0) as answer, tempfile.TemporaryFile() as words:
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                start_new_session=True,
                pass_fds=(inner,),
                env={**(os.environ if environ is None else environ), VARIABLE: str(inner)},
            )
        finally:
            os.close(inner)
        said, late = _listen(answer.fileno(), time.monotonic() + limit)
        if said == _READY:
            process.returncode = 0  # it lives on; Popen must not warn
            return Started(process.pid, 0)
        if late:
            process.terminate()
        try:
            code = process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait(10)
        if said.startswith(_FAILED):
            return Started(process.pid, code or 1, said[len(_FAILED) :].decode("utf-8", "replace").strip())
        words.seek(0)
        tail = words.read()[-4000:].decode("utf-8", "replace").strip()
        reason = f"it was not ready after {limit:.0f} s" if late else f"it ended with code {code}"
        return Started(process.pid, code or 1, f"{reason}\n{tail}".strip())


def _listen(fd: int, deadline: float) -> tuple[bytes, bool]:
    """All that is said until `ready` or the end, and whether the deadline came first."""
    said = b""
    with selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        while said != _READY:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                return said, True
            data = os.read(fd, 65536)
            if not data:
                break
            said += data
    return said, False
