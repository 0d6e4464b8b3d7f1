"""Work that touches a mount, with a time limit that holds.

A system call on a mount whose daemon hangs cannot be interrupted, not even by SIGKILL once the daemon has taken the
request, and a thread that sits in one keeps its process from ending. So the work is done by a child process, which is
abandoned when its time is over.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import time
from collections.abc import Callable
from typing import Any, NoReturn

import msgspec

from ..errors import WaitTimeout

SECONDS = 5.0
"""How long a mount may take to answer before it counts as dead."""


def call(work: Callable[[], Any], seconds: float = SECONDS, what: str = "the mount") -> Any:
    """The result of `work()`, made in a child process; only plain data (lists, dicts, str, bytes, numbers).

    Raises WaitTimeout after `seconds`, and OSError as `work` raised it. To be called while this process has one
    thread only.
    """
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        _child(work, writable)
    os.close(writable)
    try:
        answer = _receive(readable, time.monotonic() + seconds)
    finally:
        os.close(readable)
        _abandon(child)
    if answer is None:
        raise WaitTimeout(f"{what} did not answer within {seconds:g} s")
    if not answer:
        raise OSError(errno.EIO, "the reading process died")
    kind, value = msgspec.msgpack.decode(answer)
    if kind == "error":
        raise OSError(*value)
    return value


def _child(work: Callable[[], Any], writable: int) -> NoReturn:
    # A child that is stuck for ever must hold nothing open that somebody waits for, such as the other end of
    # `pacifica-fs status | less`.
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        if descriptor != writable:
            os.dup2(null, descriptor)
    os.closerange(3, writable)
    os.closerange(max(writable + 1, 3), os.sysconf("SC_OPEN_MAX"))
    try:
        os.setsid()
        try:
            answer = ["value", work()]
        except OSError as error:
            answer = ["error", [error.errno or errno.EIO, error.strerror or str(error), str(error.filename or "")]]
        data = memoryview(msgspec.msgpack.encode(answer))
        while data:
            data = data[os.write(writable, data) :]
    finally:
        os._exit(0)


def _receive(readable: int, deadline: float) -> bytes | None:
    parts: list[bytes] = []
    while True:
        left = deadline - time.monotonic()
        ready, _, _ = select.select([readable], [], [], max(left, 0))
        if not ready:
            return None
        part = os.read(readable, 1 << 20)
        if not part:
            return b"".join(parts)
        parts.append(part)


def _abandon(child: int) -> None:
    try:
        os.kill(child, signal.SIGKILL)
    except ProcessLookupError:
        pass
    for _ in range(50):
        done, _ = os.waitpid(child, os.WNOHANG)
        if done:
            return
        time.sleep(0.002)
