"""The life of one mount in the foreground, from the checks to the last thread.

    serve ──► checks ──► signals blocked ──► libfuse ──► init: on_init ──► a look through the mount: on_ready
      ▲                                         │
      └── returns ◄── unmounted ◄── on_stop ◄───┴── SIGTERM, SIGINT, SIGHUP, `umount`

libfuse's own handling of signals, when a reader waits in a callback at that moment, stops serving but leaves the mount,
and everything that touches it hangs. So the signals are blocked, and a thread waits for them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from ..clock import SystemClock
from ..tree.nodes import Directory
from .background import Announcement, spawn
from .checks import NONEMPTY, MountOptions, prepare
from .mounts import TYPE, MountError, abort, topmost, unmount, where
from .needs import Content
from .operations import Look, Operations

__all__ = ["Announcement", "MountError", "MountOptions", "prepare", "serve", "spawn"]

SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
READ_AHEAD_KB = 1024
STOP_LIMIT = 1.5
"""Seconds that each step of stopping may take; there are three."""

_log = logging.getLogger(__name__)


def serve(
    root: Directory,
    content: Content,
    mountpoint: Path,
    options: MountOptions,
    *,
    on_init: Callable[[], None],
    on_ready: Callable[[], None],
    on_stop: Callable[[], None],
) -> None:
    """Mount and serve; returns after the unmount. Must be called in the main thread.

    `on_init` runs before anything in the mount answers: threads of other rooms are started there. `on_ready` runs when
    the mount was seen to answer. `on_stop` runs once, when the mount is about to go (by signal) or gone (by `umount`),
    and must wake all that waits in a callback; it has 1.5 s. Raises MountError, or what `on_init` or `on_ready` raised.

    Where a callback still waits after that, or a second signal comes, the process ends here (status 1, or 128 + the
    signal's number): nothing but its end frees the connection then.
    """
    mountpoint = Path(os.path.abspath(mountpoint))
    prepare(mountpoint, options)
    # Only now: importing the binding loads libfuse3, and prepare has the better words if it is missing.
    from .binding import Binding

    operations = Operations(root, content, Look(options.file_mode, options.dir_mode), SystemClock())
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    session = _Session(where(mountpoint), on_init, on_ready, on_stop)
    session.start()
    try:
        Binding(
            operations,
            mountpoint,
            uid=options.uid,
            gid=options.gid,
            settings=_settings(options),
            on_init=session.initialised,
        )
    finally:
        session.finish()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    session.raise_failure()


def _settings(options: MountOptions) -> dict[str, str | bool]:
    settings: dict[str, str | bool] = {"fsname": options.fsname}
    for option in options.extra:
        name, equals, value = option.partition("=")
        if name != NONEMPTY:
            settings[name] = value if equals else True
    if options.allow_other:
        # Without it everybody could do everything; with it the kernel looks at modes and owners.
        settings |= {"allow_other": True, "default_permissions": True}
    return settings


class _Session:
    """The threads beside libfuse's: one that waits for signals, one that looks whether the mount answers."""

    def __init__(
        self,
        mountpoint: Path,
        on_init: Callable[[], None],
        on_ready: Callable[[], None],
        on_stop: Callable[[], None],
    ) -> None:
        self._mountpoint = mountpoint
        self._on_init, self._on_ready, self._on_stop = on_init, on_ready, on_stop
        self._initialised = threading.Event()
        self._stopping = threading.Event()
        self._finished = threading.Event()
        self._stopped = threading.Lock()
        self._failure: BaseException | None = None
        self._minor: int | None = None
        self._watcher = threading.Thread(target=self._watch, name="signals", daemon=True)

    def start(self) -> None:
        """Wait for signals from now on."""
        self._watcher.start()

    def initialised(self) -> None:
        """The kernel spoke for the first time. Called by libfuse, which answers nobody before this returned."""
        try:
            self._on_init()
        except BaseException as error:  # noqa: BLE001 (told to the caller of serve)
            _log.exception("starting failed")
            self._fail(error)
        self._initialised.set()
        threading.Thread(target=self._look, name="ready", daemon=True).start()

    def finish(self) -> None:
        """The mount is gone, or never came."""
        self._finished.set()
        if self._watcher.is_alive() and self._watcher.ident is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pthread_kill(self._watcher.ident, signal.SIGHUP)
            self._watcher.join(STOP_LIMIT)
        self._stop_once()

    def raise_failure(self) -> None:
        """What went wrong in `on_init` or `on_ready`."""
        if self._failure is not None:
            raise self._failure

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        if not self._stopping.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    def _look(self) -> None:
        """Through the mount, as a program would; then tell that it is there."""
        if self._failure is not None:
            return
        try:
            device = os.stat(self._mountpoint).st_dev
            mount = topmost(self._mountpoint)
            if mount is None or mount.type != TYPE or mount.minor != os.minor(device):
                raise MountError(f"{self._mountpoint} was mounted, but something else is seen there")
            self._minor = mount.minor
            _set_read_ahead(device)
            self._on_ready()
        except BaseException as error:  # noqa: BLE001 (told to the caller of serve)
            _log.exception("the mount does not answer as it should")
            if not self._finished.is_set():
                self._fail(error)

    def _watch(self) -> None:
        number = signal.sigwait(SIGNALS)
        if self._finished.is_set():
            return
        _log.info("stopping: %s", signal.Signals(number).name)
        self._stopping.set()
        threading.Thread(target=self._stop, name="stop", daemon=True).start()
        number = signal.sigwait(SIGNALS)
        if not self._finished.is_set():
            self._unmount()
            _exit(128 + number)

    def _stop(self) -> None:
        self._initialised.wait(STOP_LIMIT)
        # It may hang, and must not keep us.
        waker = threading.Thread(target=self._stop_once, name="on_stop", daemon=True)
        waker.start()
        waker.join(STOP_LIMIT)
        self._unmount()
        if self._finished.wait(STOP_LIMIT):
            return
        _log.warning("a file is still open: cutting the connection")
        if self._minor is not None:
            abort(self._minor)
        if self._finished.wait(STOP_LIMIT):
            return
        _log.warning("a callback still waits: ending the process")
        _exit(1)

    def _unmount(self) -> None:
        mount = topmost(self._mountpoint)
        if mount is None or mount.type != TYPE or self._minor not in (None, mount.minor):
            return  # somebody was faster
        try:
            unmount(self._mountpoint, lazy=True)
        except (MountError, OSError) as error:
            _log.warning("%s", error)

    def _stop_once(self) -> None:
        if not self._stopped.acquire(blocking=False):
            return
        try:
            self._on_stop()
        except BaseException:  # noqa: BLE001 (the outermost guard)
            _log.exception("stopping failed")


def _exit(code: int) -> None:
    logging.shutdown()
    os._exit(code)


def _set_read_ahead(device: int) -> None:
    """1 MiB requests instead of 128 KiB are a quarter of the cost. Only root may; the kernel offers no other way."""
    path = Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb")
    try:
        path.write_text(str(READ_AHEAD_KB))
    except OSError as error:
        _log.debug("read-ahead stays at the kernel's default: %s", error)
