"""What has to be right before a mount is tried; each error says what to do."""

from __future__ import annotations

import logging
import os
import shutil
import stat
from collections.abc import Callable
from ctypes.util import find_library
from pathlib import Path

import msgspec

from .mounts import TYPE, Answer, MountError, probe, topmost, unmount

FUSE_DEVICE = Path("/dev/fuse")
FUSE_CONF = Path("/etc/fuse.conf")
NONEMPTY = "nonempty"

_log = logging.getLogger(__name__)


class MountOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to mount. `extra` are options of libfuse or of the kernel (`noexec`, `ro`), `nonempty` allows to hide files.

    `file_mode` and `dir_mode` are the permission bits of what has none of its own; `uid` and `gid` own everything.
    """

    allow_other: bool = False
    fsname: str = "pacifica-fs"
    extra: tuple[str, ...] = ()
    file_mode: int = 0o644
    dir_mode: int = 0o755
    uid: int
    gid: int


class Machine(msgspec.Struct, frozen=True):
    """What of this machine is looked at; tests give another one."""

    device: Path = FUSE_DEVICE
    conf: Path = FUSE_CONF
    root: bool = False
    find_library: Callable[[str], str | None] = find_library
    which: Callable[[str], str | None] = shutil.which


def prepare(mountpoint: Path, options: MountOptions, machine: Machine | None = None) -> None:
    """Raises MountError unless a mount at `mountpoint` should work. A dead mount of one's own there is removed."""
    machine = machine or Machine(root=os.geteuid() == 0)
    _check_fuse(machine)
    if options.allow_other and not machine.root and not _user_allow_other(machine.conf):
        raise MountError(
            f"allow_other is for root only, unless {machine.conf} has a line 'user_allow_other': "
            "ask the administrator for it, or mount without allow_other"
        )
    _check_not_mounted(mountpoint)
    _check_directory(mountpoint, NONEMPTY in options.extra)


def _check_fuse(machine: Machine) -> None:
    if not machine.find_library("fuse3"):
        raise MountError(
            "libfuse3 is missing: install it (Debian and Ubuntu: apt install fuse3; Fedora: dnf install fuse3)"
        )
    if not machine.root and not machine.which("fusermount3"):
        raise MountError("fusermount3 is missing, without which only root can mount: install the package fuse3")
    try:
        os.close(os.open(machine.device, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError as error:
        raise MountError(
            f"{machine.device} is missing: load the kernel's module (modprobe fuse); "
            "a container needs --device /dev/fuse --cap-add SYS_ADMIN"
        ) from error
    except OSError as error:
        raise MountError(
            f"{machine.device} cannot be opened ({error.strerror}): ask the administrator for read and write "
            "permission (chmod 666 /dev/fuse, or the group that owns it); a container needs --device /dev/fuse"
        ) from error


def _user_allow_other(conf: Path) -> bool:
    try:
        lines = conf.read_text("utf-8", "replace").splitlines()
    except OSError:
        return False
    return any(line.strip() == "user_allow_other" for line in lines)


def _check_not_mounted(mountpoint: Path) -> None:
    for _ in range(8):  # dead mounts may lie on one another
        mount = topmost(mountpoint)
        if mount is None or not mount.type.startswith("fuse"):
            return
        answer = probe(mountpoint)
        if mount.type != TYPE:
            if answer is Answer.ALIVE:
                return  # another file system: an empty folder of it may be a mount point
            raise MountError(
                f"{mountpoint} is a dead mount of {mount.source} ({mount.type}): remove it with "
                f"`fusermount3 -u -z {mountpoint}`"
            )
        if answer is Answer.ALIVE:
            raise MountError(f"{mountpoint} is mounted already; `pacifica-fs umount {mountpoint}` unmounts it")
        if answer is Answer.SILENT:
            raise MountError(
                f"{mountpoint} is mounted already and does not answer: end its process, or unmount it with "
                f"`fusermount3 -u -z {mountpoint}`"
            )
        if mount.uid not in (os.geteuid(), None) and os.geteuid() != 0:
            raise MountError(f"{mountpoint} is a dead mount of the user {mount.uid}, who has to unmount it")
        _log.warning("removing a dead mount at %s", mountpoint)
        unmount(mountpoint, lazy=True)
    raise MountError(f"there are too many dead mounts at {mountpoint}: remove them with `umount -l {mountpoint}`")


def _check_directory(mountpoint: Path, nonempty: bool) -> None:
    try:
        mode = mountpoint.stat().st_mode
    except FileNotFoundError as error:
        raise MountError(f"{mountpoint} does not exist: make it with `mkdir -p {mountpoint}`") from error
    except OSError as error:
        raise MountError(f"{mountpoint} cannot be reached: {error.strerror}") from error
    if not stat.S_ISDIR(mode):
        raise MountError(f"{mountpoint} is not a directory: a mount point must be one")
    mount = topmost(mountpoint)
    if mount is not None and mount.type == "autofs":
        return  # listing it would make systemd mount what we are about to mount
    try:
        empty = nonempty or not any(os.scandir(mountpoint))
    except OSError as error:
        raise MountError(f"{mountpoint} cannot be read: {error.strerror}") from error
    if not empty:
        raise MountError(
            f"{mountpoint} is not empty, and a mount would hide what is in it: choose an empty directory, "
            f"or use the option {NONEMPTY}"
        )
    if not os.access(mountpoint, os.W_OK) and os.geteuid() != 0:
        raise MountError(f"{mountpoint} must be writable by you to be mounted on: choose a directory of your own")
