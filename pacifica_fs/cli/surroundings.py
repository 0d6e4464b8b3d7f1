"""What `check` looks at around a mount: limits of this machine, what kind of disks, the clock, the mount point."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from ..config import Config, Places
from ..errors import PacificaFSError
from . import limited, placing
from .findings import Finding, ok, remark, wrong
from .install import immutable
from .outside import MountPoint

SECONDS = 5.0
FILES = 4096
"""Open files that a mount under load may need: a blob that is read has one, a connection one."""
BACKGROUND = 64
FUSE_SETTINGS = Path("/proc/sys/fs/fuse")
FSTAB = Path("/etc/fstab")
REMOTE = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "afs", "9p", "fuse.sshfs", "lustre", "gpfs", "beegfs", "ceph", "fuse.glusterfs")
)
VOLATILE = frozenset(("tmpfs", "ramfs"))
SKEW, BROKEN = 30.0, 300.0
"""Seconds by which clocks may differ: from BROKEN on Kerberos refuses, and S3 from three times that on."""


def limits(root: bool | None = None, most: int | None = None, fuse: Path = FUSE_SETTINGS) -> list[Finding]:
    """Open files, and what the kernel allows a FUSE mount of this user."""
    root = os.geteuid() == 0 if root is None else root
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1] if most is None else most
    if most != resource.RLIM_INFINITY and most < FILES:
        what = f"at most {most} open files: reads fail with 'Too many open files' under load"
        found = [remark("limits", what, f"Allow {FILES}: LimitNOFILE= of the unit, or nofile in limits.conf.")]
    else:
        shown = "any number of" if most == resource.RLIM_INFINITY else str(most)
        found = [ok("limits", f"{shown} open files")]
    background = _number(fuse / "max_user_bgreq")
    if not root and background is not None and background < BACKGROUND:
        what = f"the kernel takes at most {background} background requests of users' mounts: reading ahead is slow"
        found.append(remark("limits", what, f"As root run: sysctl fs.fuse.max_user_bgreq={BACKGROUND * 4}"))
    times = [_number(fuse / name) for name in ("max_request_timeout", "default_request_timeout")]
    shortest = min((each for each in times if each), default=None)
    if shortest is not None:
        what = f"this kernel ends a mount that does not answer for {shortest} s: reads wait no longer than that"
        found.append(remark("limits", what, "Lower read_wait to know, or raise fs.fuse.max_request_timeout."))
    return found


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def disks(places: Places, mounts: Callable[[], Mapping[str, str]] | None = None) -> list[Finding]:
    """What kinds of file systems the spool and the cache are on. `mounts`: mount points and their types."""
    try:
        known = (mounts or _mounts)()
        paths = {"spool": str(places.state), "cache": str(places.cache)}
        kinds = {
            subject: kind_of(limited.call(partial(os.path.realpath, path), SECONDS, path), known)
            for subject, path in paths.items()
        }
    except (OSError, PacificaFSError) as error:
        return [remark("disk", f"the kinds of disk cannot be told: {error}", "Check the paths.")]
    found = []
    if kinds["spool"] in REMOTE:
        what = (
            f"{paths['spool']} is on {kinds['spool']}: whether close() is durable there, and two hosts are "
            "kept from one spool, is up to that server's sync and locks"
        )
        found.append(remark("spool", what, "Put it on a local disk with [drop] path."))
    elif kinds["spool"] in VOLATILE:
        what = f"{paths['spool']} is in memory ({kinds['spool']}): uploads that are not ingested are lost at a restart"
        found.append(remark("spool", what, "Put it on a disk with [drop] path."))
    if kinds["cache"] in REMOTE:
        what = f"{paths['cache']} is on {kinds['cache']}: each byte that is read crosses the network twice"
        found.append(remark("cache", what, "Put it on a local disk with [cache] path."))
    return found


def kind_of(path: str, mounts: Mapping[str, str]) -> str:
    """The type of the file system that a real path is on, of the mount points above it."""
    while path not in mounts and path != "/":
        path = os.path.dirname(path)
    return mounts.get(path, "")


def _mounts() -> dict[str, str]:
    from ..mount.mounts import everything

    return {str(each.path): each.type for each in everything()}


def clock(skews: Mapping[str, float]) -> list[Finding]:
    """`skews`: by how many seconds each server's clock is before ours."""
    if not skews:
        return []
    found = []
    for server, skew in sorted(skews.items()):
        what = f"this machine's clock is {abs(skew):.0f} s {'behind' if skew > 0 else 'before'} that of {server}"
        remedy = "Set it by NTP: timedatectl set-ntp true (or tell who runs the server)."
        if abs(skew) >= BROKEN:
            found.append(wrong("clock", f"{what}: signatures and tickets are refused", remedy))
        elif abs(skew) >= SKEW:
            found.append(remark("clock", what, remedy))
    return found or [ok("clock", f"as that of {', '.join(sorted(skews))}")]


def points(settings: Config, mounts: Sequence[MountPoint], given: Path | None, fstab: Path = FSTAB) -> list[Finding]:
    """The mount point `given`, and those that fstab names for this configuration."""
    wanted = [given] if given else []
    wanted += [path for path in _in_fstab(fstab, set(settings.sources)) if path not in wanted]
    mounted = {each.path for each in mounts}
    found = []
    for path in wanted:
        if Path(os.path.abspath(path)) in mounted:
            found.append(ok("mount point", f"{path}: mounted"))
            continue
        try:
            found.append(_point(path, limited.call(partial(_looked, path), SECONDS, str(path))))
        except FileNotFoundError:
            remedy = f"Run: mkdir {path}, or as root: pacifica-fs install --mount-point {path}"
            found.append(wrong("mount point", f"{path} does not exist", remedy))
        except (OSError, PacificaFSError) as error:
            found.append(wrong("mount point", f"{path}: {error}", f"Is a dead mount there? pacifica-fs umount {path}"))
    return found


def _point(path: Path, looked: list[object]) -> Finding:
    mode, filled, protected = looked
    if not isinstance(mode, int) or not stat.S_ISDIR(mode):
        return wrong("mount point", f"{path} is no folder", "Choose another one.")
    if filled:
        what = f"{path} is not empty: what is in it is hidden while something is mounted there"
        return remark("mount point", what, "Move it away; maybe it was copied while nothing was mounted.")
    remedy = f"As root run: pacifica-fs install --mount-point {path}"
    if protected:
        return ok("mount point", f"{path}: takes nothing while nothing is mounted")
    if stat.S_IMODE(mode) & 0o222:
        what = f"{path}: programs could write there while nothing is mounted"
        return remark("mount point", f"{what}; it would stay on this disk", remedy)
    return remark("mount point", f"{path}: root could write there while nothing is mounted", remedy)


def _looked(path: Path) -> list[object]:
    mode = path.stat().st_mode
    filled = stat.S_ISDIR(mode) and os.access(path, os.R_OK) and bool(os.listdir(path))
    return [mode, filled, immutable(path)]


def _in_fstab(fstab: Path, sources: set[str]) -> list[Path]:
    try:
        lines = fstab.read_text(errors="replace").splitlines()
    except OSError:
        return []
    rows = [line.split() for line in lines if not line.lstrip().startswith("#")]
    return [
        Path(row[1].replace("\\040", " "))
        for row in rows
        if len(row) > 2 and row[2] in (placing.TYPE, placing.TYPE.removeprefix("fuse.")) and row[0] in sources
    ]
