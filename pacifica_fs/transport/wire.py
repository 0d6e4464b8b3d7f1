"""One upload's connection seen from below HTTP: what the other machine has taken of it, and whether it hung up.

What is written to a connection lies in the kernel's buffers first, megabytes of it, and a break shows only later. Who
must know that all so far has arrived before the next byte may go out waits here.
"""

from __future__ import annotations

import errno
import fcntl
import select
import socket
import ssl
import struct
import termios
import time
from collections.abc import Callable
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from ..errors import WaitTimeout

PAUSES = (0.001, 0.05)
"""Seconds between two looks: the first and the longest."""
_HANGUP = select.POLLHUP | select.POLLERR | select.POLLRDHUP


class HungUp(BrokenPipeError):
    """The other side answered or hung up before it had all. The HTTP library goes on to read the answer, if any."""

    def __init__(self) -> None:
        super().__init__(errno.EPIPE, "the server hung up within the upload")


class Wire:
    """For one upload and its thread."""

    def __init__(self, patience: float = 120.0) -> None:
        """`patience`: seconds for which the other side may take nothing."""
        self._patience = patience
        self._socket: socket.socket | None = None

    def adapter(self) -> HTTPAdapter:
        """Carries the upload, and has the connection seen from here."""
        return _Adapter(self)

    def opened(self, connection: socket.socket) -> None:
        """The upload goes over `connection`."""
        self._socket = connection

    def settle(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Return once the other machine has acknowledged every byte written so far; `meanwhile` is called now and then.

        HungUp if it answered or hung up instead; WaitTimeout if it takes nothing. That it acknowledged a byte does not
        say that its program has read it.
        """
        connection = self._socket
        if connection is None or connection.fileno() < 0:
            return
        poll = select.poll()
        # Bytes may come at any time in TLS; in plain HTTP they are an answer before its time.
        poll.register(connection, _HANGUP | (0 if isinstance(connection, ssl.SSLSocket) else select.POLLIN))
        pause, left, since = PAUSES[0], -1, time.monotonic()
        while True:
            waits = _unacknowledged(connection)
            if poll.poll(0):
                raise HungUp
            if not waits:
                return
            if waits != left:
                left, since = waits, time.monotonic()
            elif time.monotonic() - since > self._patience:
                raise WaitTimeout(f"the server took nothing for {self._patience:.0f} s")
            meanwhile()
            poll.poll(int(pause * 1000))
            pause = min(PAUSES[1], pause * 2)


def _unacknowledged(connection: socket.socket) -> int:
    try:
        answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    except OSError as error:
        if error.errno in (errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL):
            return 0  # no TCP
        raise
    return int(struct.unpack("i", answer)[0])


class _Adapter(HTTPAdapter):
    """Connections of its pools tell `wire` when they are made."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self._watch(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        self._watch(manager)
        return manager

    def _watch(self, manager: Any) -> None:
        wire = self._wire

        class Plain(HTTPConnection):
            def connect(self) -> None:
                super().connect()
                wire.opened(self.sock)

        class Secure(HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                wire.opened(self.sock)

        pools = {
            "http": type("Pool", (HTTPConnectionPool,), {"ConnectionCls": Plain}),
            "https": type("Pool", (HTTPSConnectionPool,), {"ConnectionCls": Secure}),
        }
        manager.pool_classes_by_scheme = pools
