"""What `check` looks at on this machine: one function for each subject, each returning findings and raising nothing."""

from __future__ import annotations

import ctypes.util
import os
import shutil
import stat
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from .. import config
from ..config import Config, Places
from ..errors import ConfigError, PacificaFSError
from . import limited, options
from .findings import Finding, ok, remark, wrong
from .output import size

DEVICE = Path("/dev/fuse")
FUSE_CONF = Path("/etc/fuse.conf")
SECONDS = 5.0


def configuration(settings: Config, environ: Mapping[str, str]) -> Finding:
    """Which files it came from, and what it names."""
    names = ", ".join(f"{each.name} ({each.kind})" for each in settings.archives)
    if settings.sources:
        return ok("configuration", f"{', '.join(settings.sources)}: {names}")
    where = config.user_file(environ)
    return remark("configuration", f"there is none, so this is the default: {names}", f"To have one, write {where}.")


def secrets(settings: Config) -> list[Finding]:
    """Secrets that stand in a file which others can read."""
    found = []
    for name in settings.sources:
        path = Path(name)
        try:
            mode = limited.call(partial(_mode, path), SECONDS, name)
        except (OSError, PacificaFSError) as error:
            found.append(wrong(name, f"cannot be looked at: {error}", "Check the path."))
            continue
        keys = config.secrets(settings)
        if keys and mode & (stat.S_IRWXG | stat.S_IRWXO):
            what = f"{' and '.join(keys)} stands in a file that others can read (mode {stat.S_IMODE(mode):04o})"
            remedy = f"Run: chmod 600 {name} - or better take the secret out, see docs/configuration.md."
            found.append(wrong(name, what, remedy))
    return found


def _mode(path: Path) -> int:
    return path.stat().st_mode


def access(settings: Config) -> list[Finding]:
    """`[mount] access`."""
    try:
        found = options.access(settings)
    except ConfigError as error:
        return [wrong("configuration", str(error), "Correct it.")]
    if settings.mount.allow_other and not found.others:
        what = 'allow_other is set, but with access = "me" the modes let nobody but root in'
        return [remark("configuration", what, 'Set [mount] access = "group:NAME" or "everyone".')]
    return []


def fuse(allow_other: bool, device: Path = DEVICE, conf: Path = FUSE_CONF) -> list[Finding]:
    """Whether this user can mount at all."""
    root = os.geteuid() == 0
    found = []
    if not device.exists():
        remedy = "As root run: modprobe fuse. In a container, start it with --device /dev/fuse --cap-add SYS_ADMIN."
        found.append(wrong("FUSE", f"{device} is missing", remedy))
    elif not os.access(device, os.R_OK | os.W_OK):
        remedy = f"As root run: chmod 666 {device} (udev does it where fuse3 is installed)."
        found.append(wrong("FUSE", f"{device} may not be opened by this user", remedy))
    else:
        found.append(ok("FUSE", f"{device} can be opened"))
    library = ctypes.util.find_library("fuse3")
    if library:
        found.append(ok("FUSE", f"the library is there ({library})"))
    else:
        found.append(wrong("FUSE", "libfuse3 is missing", "As root run: apt install fuse3."))
    helper = shutil.which("fusermount3")
    if helper:
        found.append(ok("FUSE", f"{helper} is there"))
    elif root:
        found.append(remark("FUSE", "fusermount3 is missing; root can do without", "Install the package fuse3."))
    else:
        found.append(wrong("FUSE", "fusermount3 is missing", "As root run: apt install fuse3."))
    if allow_other and not root and not _user_allow_other(conf):
        what = f"allow_other is configured, but {conf} does not let users do that"
        found.append(wrong("FUSE", what, f"As root add the line user_allow_other to {conf}, or leave allow_other out."))
    return found


def _user_allow_other(conf: Path) -> bool:
    try:
        return any(line.strip() == "user_allow_other" for line in conf.read_text(errors="replace").splitlines())
    except OSError:
        return False


def folders(settings: Config, places: Places) -> list[Finding]:
    """Whether the spool and the cache can be written, and have room."""
    least = int(settings.drop.min_free)
    result = []
    for subject, path, key in (("spool", places.state, "[drop] path"), ("cache", places.cache, "[cache] path")):
        try:
            fine, where, free = limited.call(partial(_writable, path), SECONDS, str(path))
        except (OSError, PacificaFSError) as error:
            result.append(wrong(subject, f"{path}: {error}", f"Choose another folder with {key}."))
            continue
        if not fine:
            result.append(wrong(subject, f"{where} may not be written by this user", f"Choose another with {key}."))
        elif subject == "spool" and free < least:
            what = f"{path}: {size(free)} free, less than [drop] min_free ({size(least)}): every write would be refused"
            result.append(wrong(subject, what, "Make room, or choose another disk with [drop] path."))
        elif subject == "cache" and free < int(settings.cache.limit) // 10:
            what = f"{path}: {size(free)} free for a cache of up to {size(int(settings.cache.limit))}"
            result.append(remark(subject, what, "Lower [cache] limit, or choose another disk with [cache] path."))
        else:
            result.append(ok(subject, f"{path}: {size(free)} free"))
    return result


def _writable(path: Path) -> list[Any]:
    """Whether `path`, or the nearest folder above it that exists, may be written; that folder; the bytes free there."""
    while not path.exists() and path != path.parent:
        path = path.parent
    space = os.statvfs(path)
    return [path.is_dir() and os.access(path, os.W_OK | os.X_OK), str(path), space.f_bavail * space.f_frsize]
