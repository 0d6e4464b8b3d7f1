"""What can go wrong between a client and a service, and when: the vocabulary of `FaultyProxy`.

Offsets count bytes of the content, whatever its framing.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Mapping

import msgspec


class Reply(msgspec.Struct, frozen=True):
    """Answer this instead; the request is read but not passed on."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}


class Replace(msgspec.Struct, frozen=True):
    """Pass the request on whole, then answer this instead of what the service said."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}


class Delay(msgspec.Struct, frozen=True):
    """Pass on after so many seconds (at once when the rule is removed)."""

    seconds: float


class Stall(msgspec.Struct, frozen=True):
    """Pass nothing on and answer nothing, until the rule is removed; then go on as if nothing had been."""


class StallAnswer(msgspec.Struct, frozen=True):
    """Stop the answer after so many bytes of its content, until the rule is removed."""

    after: int = 0


class CutAnswer(msgspec.Struct, frozen=True):
    """Close the connection after so many bytes of the answer's content; `reset` as a broken network does."""

    after: int = 0
    reset: bool = False


class CutRequest(msgspec.Struct, frozen=True):
    """Close both connections after so many bytes of the request's content were passed on."""

    after: int = 0


class Rewrite(msgspec.Struct, frozen=True):
    """Pass on what `change` makes of the request's whole content, under its new length."""

    change: Callable[[bytes], bytes]


class LoseAnswer(msgspec.Struct, frozen=True):
    """Pass the request on whole, wait for the whole answer, and close the connection without a byte of it."""


class Corrupt(msgspec.Struct, frozen=True):
    """Flip bits of one byte of the answer's content."""

    offset: int
    mask: int = 0xFF


Fault = Reply | Replace | Delay | Stall | StallAnswer | CutAnswer | CutRequest | Rewrite | LoseAnswer | Corrupt


class Rule:
    """A fault and when it strikes. `release` it, or `clear` the proxy, to end what it holds up."""

    def __init__(self, method: str | None, path: str, fault: Fault, times: int | None, skip: int) -> None:
        self.fault = fault
        self.struck = 0
        self._method = method
        self._path = re.compile(path)
        self._times = times
        self._skip = skip
        self._released = threading.Event()

    def release(self) -> None:
        """Never strike again, and let go on what stalls."""
        self._released.set()

    def takes(self, method: str, path: str) -> bool:
        """Whether it strikes this request; counts."""
        if self._released.is_set() or self._method not in (None, method) or not self._path.search(path):
            return False
        if self._skip:
            self._skip -= 1
            return False
        if self._times is not None and self.struck >= self._times:
            return False
        self.struck += 1
        return True

    def hold(self, client: socket.socket, seconds: float | None = None) -> None:
        """Wait for the release (or so long); ConnectionError if the client goes away first."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while not self._released.wait(0.02):
            if deadline is not None and time.monotonic() >= deadline:
                return
            if _gone(client):
                raise ConnectionAbortedError("the client closed the connection")


def _gone(client: socket.socket) -> bool:
    try:
        return client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
