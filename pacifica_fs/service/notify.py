"""What systemd is told (sd_notify): ready when mounted, a status line, stopping. Silent where nobody listens."""

from __future__ import annotations

import sdnotify


class Notifier:
    """Talks to $NOTIFY_SOCKET if there is one; never raises. Any thread."""

    def __init__(self) -> None:
        self._socket = sdnotify.SystemdNotifier(debug=False)

    def ready(self, status: str) -> None:
        """The mount answers."""
        self._socket.notify(f"READY=1\nSTATUS={status}")

    def stopping(self) -> None:
        """The mount is going away on purpose."""
        self._socket.notify("STOPPING=1\nSTATUS=unmounting")
