"""Beginning and end of one mount, in the main thread: libfuse runs in another one.

    begin ──► on_init ──► a look through the mount ──► on_ready ──► … ──► a signal, `umount`, or a failure ──► end

libfuse's own answer to a signal leaves a mount behind that hangs everything, when a request waits in a callback at that
moment. So the signals are Python's, whose handlers run in the main thread, which is free for that. They are not
blocked: they would be in child processes too, and would reach threads that some library started before (and there end
the process and not the mount).
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import PacificaFSError
from . import mounts

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
READ_AHEAD_KB = 1024
START_PATIENCE = 60.0
GRACE = 1.0
STOP_PATIENCE = 10.0
END_PATIENCE = 3.0


class Life:
    """One mount from its beginning to its end; each happens once. `begun` says whether it came to serving.

    `begin` is for libfuse's thread, the rest for the main thread.
    """

    def __init__(
        self, mountpoint: Path, on_init: Callable[[], None], on_ready: Callable[[], None], on_stop: Callable[[], None]
    ) -> None:
        self._mountpoint = mountpoint
        self._outside = os.stat(mountpoint).st_dev
        self._on_init, self._on_ready, self._on_stop = on_init, on_ready, on_stop
        # What the main thread waits for: a signal's name, or "" when it has to look what happened. A queue of this kind
        # may be used in a signal handler.
        self._happened: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._settled = threading.Event()
        self._stopped = threading.Event()
        self._over = threading.Event()
        self._failure: BaseException | None = None
        self._minor: int | None = None
        self.begun = False

    def run(self, mount: Callable[[], None]) -> None:
        """Call `mount`, which serves until it is unmounted, and end it when it is time. Raises what it raised, or
        `on_init` or `on_ready` did. Ends the process where `mount` does not return although all is done for it.
        """
        with _handlers(self._happened.put):
            threading.Thread(target=self._serve, args=(mount,), name="fuse", daemon=True).start()
            received = self._happened.get()
            if not self._over.is_set():
                log.info("stopping%s", f" on {received}" if received else "")
                self._end()
            elif self.begun:
                self._stop()
        if self._failure is not None:
            raise self._failure

    def begin(self) -> None:
        """libfuse is about to serve; nobody is answered before this returns."""
        self.begun = True
        self._settled.set()
        if self._try(self._on_init):
            threading.Thread(target=self._try, args=(self._announce,), name="ready", daemon=True).start()

    def _serve(self, mount: Callable[[], None]) -> None:
        self._try(mount)
        self._over.set()
        self._settled.set()
        self._happened.put("")

    def _try(self, step: Callable[[], None]) -> bool:
        """What happens in another thread; if it fails the mount ends, and `run` raises."""
        try:
            step()
        except BaseException as error:  # noqa: BLE001 - raised by `run`
            self._failure = self._failure or error
            self._happened.put("")
            return False
        return True

    def _announce(self) -> None:
        """Look through the mount as a program would."""
        deadline = time.monotonic() + START_PATIENCE
        while time.monotonic() < deadline and not self._over.is_set():
            try:
                device = os.stat(self._mountpoint).st_dev
            except OSError:
                device = self._outside
            if device != self._outside:
                self._minor = os.minor(device)
                _read_ahead(device)
                self._on_ready()
                return
            time.sleep(0.005)

    def _end(self) -> None:
        self._settled.wait(STOP_PATIENCE)  # what is only being mounted cannot be unmounted
        if not self.begun:
            return
        # In a thread of its own: the mount is not to stay because something else hangs.
        threading.Thread(target=self._stop, name="stop", daemon=True).start()
        woken = self._stopped.wait(GRACE)
        try:
            # Who waits is freed by `force` if nobody else does it; later this connection is found through sysfs only.
            mounts.unmount(self._mountpoint, lazy=True, force=not woken)
        except (PacificaFSError, OSError, subprocess.SubprocessError) as error:
            log.warning("%s", error)
        # Files that are still open keep a lazily unmounted mount alive: cut this connection.
        if not self._over.wait(GRACE) and self._minor is not None:
            mounts.abort(self._minor)
        self._stopped.wait(STOP_PATIENCE - END_PATIENCE)
        if not self._over.wait(END_PATIENCE):
            # A request that still waits keeps libfuse, and only the end of the process ends it.
            log.error("libfuse does not return; leaving")
            logging.shutdown()
            os._exit(0)

    def _stop(self) -> None:
        try:
            self._on_stop()
        except Exception:
            log.exception("stopping")
        finally:
            self._stopped.set()


@contextmanager
def _handlers(tell: Callable[[str], None]) -> Iterator[None]:
    """The signals' names go to `tell`."""
    before = {
        number: signal.signal(number, lambda received, _: tell(signal.Signals(received).name)) for number in SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _read_ahead(device: int) -> None:
    """1 MiB reads instead of 128 KiB: a third of the CPU. Only root may; others go without."""
    path = Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb")
    try:
        path.write_text(str(READ_AHEAD_KB))
    except OSError as error:
        log.debug("read-ahead stays as it is: %s", error)
