"""Threads that leave the processor to those who wait for an answer."""

from __future__ import annotations

import os
import threading

NICE = 10


def be_modest() -> None:
    """Let this thread have the processor only where nobody else needs it much, if the system knows that of a thread.

    A program that writes into the drop waits for each of its requests; when what it wrote is hashed and sent does not
    matter within seconds. On Linux a thread has a nice value of its own.
    """
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
    except OSError:
        pass
