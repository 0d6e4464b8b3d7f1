"""Mounting: checked before it begins, served in the foreground, or by a daemon that is waited for until it answers."""

from __future__ import annotations

import ctypes.util
import errno
import logging
import os
import resource
import select
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from ..errors import PacificaFSError
from ..tree.nodes import Node
from . import mounts
from .life import START_PATIENCE, Life
from .operations import ContentStore, Look, Operations

log = logging.getLogger(__name__)

READY = "PACIFICA_FS_READY_FD"
STACKED = 8  # dead mounts may lie on one another
FUSE_CONF = Path("/etc/fuse.conf")
DEVICE = Path("/dev/fuse")


class MountError(PacificaFSError):
    """It cannot be mounted; the message says why and what to do."""


class MountOptions(msgspec.Struct, frozen=True):
    """How a mount shows itself. `extra` are further options for libfuse (`nosuid`, …)."""

    uid: int
    gid: int
    allow_other: bool = False
    fsname: str = "pacifica-fs"
    extra: tuple[str, ...] = ()
    file_mode: int = 0o644
    dir_mode: int = 0o755


def prepare(mountpoint: Path, options: MountOptions) -> None:
    """Everything that would make a mount fail, found before; heals a dead mount of our own. MountError."""
    if not DEVICE.exists():
        raise MountError(
            "/dev/fuse is missing; load it with: modprobe fuse (in a container: --device /dev/fuse); "
            "pacifica-fs ls, cat and cp work without"
        )
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        raise MountError("/dev/fuse may not be opened by this user; the administrator can: chmod 666 /dev/fuse")
    if ctypes.util.find_library("fuse3") is None:
        raise MountError("libfuse3 is missing; install it: apt install fuse3 (or libfuse3-3)")
    if os.geteuid() != 0:
        try:
            mounts.helper()
        except PacificaFSError as error:
            raise MountError(str(error)) from error
        if options.allow_other and not user_allow_other():
            raise MountError("allow_other needs the line user_allow_other in /etc/fuse.conf")
    heal(mountpoint)
    try:
        found = os.stat(mountpoint)
        if not stat.S_ISDIR(found.st_mode):
            raise MountError(f"{mountpoint}: not a folder")
        # To list an automount point would wait for the very mount that is being made.
        full = None if mounts.automounted(mountpoint) else next(os.scandir(mountpoint), None)
    except FileNotFoundError:
        raise MountError(f"{mountpoint}: there is no such folder; make it: mkdir {mountpoint}") from None
    except PermissionError:
        if os.geteuid() == 0:
            raise
        full = None  # an unmounted mount point of mode 0000 swallows nothing, and may be mounted over
    except OSError as error:
        remedy = f"; fusermount3 -u -z {mountpoint}" if error.errno == errno.ENOTCONN else ""
        raise MountError(f"{mountpoint}: {error.strerror}{remedy}") from error
    if full is not None:
        raise MountError(f"{mountpoint}: not empty (it holds {full.name}); mount on an empty folder")


def heal(mountpoint: Path) -> None:
    """Take away dead mounts of this program; MountError if a live one is there."""
    for _ in range(STACKED):
        mount = mounts.at(mountpoint)
        if mount is None:
            return
        if not mounts.stale(mountpoint):
            raise MountError(f"{mountpoint}: already mounted; pacifica-fs umount {mountpoint}")
        log.warning("%s: the daemon of this mount is gone; unmounting it", mountpoint)
        mounts.unmount(mount.path, lazy=True)


def caller() -> int:
    """The uid of the program whose request is being answered by this thread."""
    binding = sys.modules.get(f"{__package__}.binding")  # not there without a mount, nor without libfuse3
    return int(binding.caller()) if binding is not None else os.getuid()


def user_allow_other() -> bool:
    """Whether users may let others in."""
    try:
        lines = FUSE_CONF.read_text().splitlines()
    except OSError:
        return False
    return any(line.strip() == "user_allow_other" for line in lines)


def serve(
    root: Node,
    content: ContentStore,
    mountpoint: Path,
    options: MountOptions,
    *,
    on_init: Callable[[], None],
    on_ready: Callable[[], None],
    on_stop: Callable[[], None],
    requests: Counter[str] | None = None,
    spare: Callable[[], tuple[int, int]] = lambda: (0, 0),
) -> None:
    """Mount and serve until somebody unmounts or a signal comes; call it from the main thread.

    `on_init` runs once libfuse is about to serve (the place to start threads), `on_ready` when the mount answers,
    `on_stop` once before the end: it must wake every waiting request, and is waited for at most 10 s (1 s before the
    unmount). `requests` counts what the kernel asks; `spare` is for `df`. MountError if it cannot be mounted, or what
    `on_init` or `on_ready` raised. Where a request still waits after the end, the process ends here.
    """
    mountpoint = Path(os.path.abspath(mountpoint))  # libfuse changes into /
    prepare(mountpoint, options)
    from .binding import Binding  # needs libfuse3, whose absence has been explained above

    look = Look(options.uid, options.gid, options.file_mode, options.dir_mode)
    operations = Operations(root, content, look, requests=requests, spare=spare, caller=caller)
    _many_files()

    def ready() -> None:
        on_ready()
        _tell_parent("ready")

    def mount() -> None:
        try:
            Binding(operations, str(mountpoint), life.begin, **_options(options))
        except RuntimeError as error:
            if not life.begun:
                words = f"{mountpoint}: cannot be mounted (libfuse says {error}); try: pacifica-fs check"
                raise MountError(words) from error
            log.info("the connection was cut (libfuse says %s)", error)

    life = Life(mountpoint, on_init, ready, on_stop)
    life.run(mount)


def spawn(arguments: Sequence[str], environ: Mapping[str, str] | None = None, patience: float = START_PATIENCE) -> int:
    """Start `python ARGUMENTS` as a daemon of its own session and wait until its mount answers; its process id.

    MountError with the daemon's own words if it ends before, or does not get ready in `patience` seconds.
    """
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as ready:
        child = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(writing,),
            cwd="/",
            env={**(os.environ if environ is None else environ), READY: str(writing)},
        )
        os.close(writing)
        words = b""
        deadline = time.monotonic() + patience
        while not words.endswith(b"\0"):
            readable, _, _ = select.select([ready], [], [], max(0.0, deadline - time.monotonic()))
            if not readable:
                child.terminate()
                raise MountError(f"the daemon was not ready after {patience:.0f} s; run it with -f to see why")
            piece = ready.read(65536)
            if not piece:
                break
            words += piece
    if words == b"ready\0":
        return child.pid
    text = words.rstrip(b"\0").decode("utf-8", "replace").strip()
    raise MountError(text or "the daemon ended before it was ready; run it with -f to see why")


def failed(words: str) -> None:
    """Tell the waiting parent why this daemon ends; nothing where nobody waits."""
    _tell_parent(words)


def _tell_parent(words: str) -> None:
    number = os.environ.pop(READY, None)
    if number is None:
        return
    try:
        with open(int(number), "wb", buffering=0) as parent:
            parent.write(words.encode() + b"\0")
    except (OSError, ValueError):
        log.debug("nobody waits for this daemon")


def _options(options: MountOptions) -> dict[str, object]:
    given: dict[str, object] = {
        "fsname": options.fsname.replace("\\", "\\\\").replace(",", "\\,"),
        "subtype": "pacifica-fs",
    }
    if options.allow_other:
        given |= {"allow_other": True, "default_permissions": True}
    for extra in options.extra:
        name, equals, value = extra.partition("=")
        given[name] = value if equals else True
    return given


def _many_files() -> None:
    """Each open file of the mount is one of the daemon's: take as many as this user may have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
