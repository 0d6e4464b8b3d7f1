"""What systemd is told (sd_notify): ready when mounted, a status line, stopping. Silent where nobody listens."""

from __future__ import annotations

import os
from collections.abc import Mapping

import sdnotify


class Notifier:
    """Talks to $NOTIFY_SOCKET if there is one; never raises. Any thread."""

    def __init__(self) -> None:
        self._socket = sdnotify.SystemdNotifier(debug=False)

    def ready(self, status: str) -> None:
        """The mount answers."""
        self._socket.notify(f"READY=1\nSTATUS={status}")

    def alive(self, status: str) -> None:
        """The mount was looked through and answered: the watchdog has peace, and the status line is current."""
        self._socket.notify(f"WATCHDOG=1\nSTATUS={status}")

    def stopping(self) -> None:
        """The mount is going away on purpose."""
        self._socket.notify("STOPPING=1\nSTATUS=unmounting")


def watchdog(environ: Mapping[str, str]) -> float | None:
    """Seconds within which systemd wants to hear from this process (`WatchdogSec=`); None if it does not watch."""
    pid, microseconds = environ.get("WATCHDOG_PID", ""), environ.get("WATCHDOG_USEC", "")
    if pid not in ("", str(os.getpid())) or not microseconds.isdecimal() or int(microseconds) == 0:
        return None
    return int(microseconds) / 1e6
