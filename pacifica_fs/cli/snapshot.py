"""What `status/` of a mount says at one moment, or what the spool's journals say where no mount answers."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from .. import config
from ..errors import PacificaFSError, WaitTimeout
from . import limited
from .outside import MountPoint, Outside

Upload = Mapping[str, Any]
MANY = 100_000


class Snapshot(msgspec.Struct, frozen=True):
    """One look. `remark` says in a sentence why it is not from a mount; then only `uploads` is known."""

    uploads: Sequence[Upload] = ()
    downloads: Sequence[Mapping[str, Any]] = ()
    cache: Mapping[str, Any] = {}
    archives: Sequence[Mapping[str, Any]] = ()
    mount: str | None = None
    remark: str = ""

    @property
    def unfinished(self) -> list[Upload]:
        """Bundles that are not in their archive yet."""
        return [upload for upload in self.uploads if upload.get("state") != "done"]


def look(outside: Outside, mount: MountPoint | None, file: Path | None, seconds: float = limited.SECONDS) -> Snapshot:
    """The mount's status, read within `seconds`; where that fails, the journals of the spool that `file` configures.

    Raises ConfigError if the configuration is needed and wrong.
    """
    if mount is None:
        return from_spool(outside, file, "nothing is mounted")
    try:
        return from_mount(mount, seconds)
    except WaitTimeout as error:
        reason = str(error)
    except OSError as error:
        gone = error.errno in (errno.ENOTCONN, errno.ECONNABORTED)
        why = "is dead: its daemon is gone" if gone else f"cannot be read: {error.strerror}"
        reason = f"the mount at {mount.path} {why}"
    except msgspec.DecodeError as error:
        reason = f"the mount at {mount.path} has no readable status ({error})"
    return from_spool(outside, file or config_of(mount), reason, mount)


def everything(outside: Outside, mount: MountPoint | None, file: Path | None) -> Snapshot:
    """As `look`, with earlier bundles of the same names, within a minute."""
    if mount is not None:
        try:
            return from_mount(mount, 60.0, history=True)
        except (WaitTimeout, OSError, msgspec.DecodeError):
            pass
    return look(outside, mount, file)


def from_mount(mount: MountPoint, seconds: float = limited.SECONDS, history: bool = False) -> Snapshot:
    """What `status/` says; WaitTimeout, OSError or DecodeError if it cannot be had.

    `history` adds earlier bundles of the same names.
    """
    status = mount.path / "status"
    found = limited.call(lambda: _read(status, history), seconds, f"the mount at {mount.path}")
    decode = msgspec.json.decode
    return Snapshot(
        uploads=[decode(text) for text in found["uploads"]],
        downloads=decode(found["downloads"]) if found["downloads"] else [],
        cache=decode(found["cache"]) if found["cache"] else {},
        archives=[decode(text) for text in found["archives"]],
        mount=str(mount.path),
    )


def from_spool(outside: Outside, file: Path | None, reason: str, mount: MountPoint | None = None) -> Snapshot:
    """What the journals say, with a remark."""
    spool = places_of(outside, mount, file).state / "spool"
    source = f"{reason}; this is what the journals in {spool} say"
    try:
        return Snapshot(uploads=list(outside.uploads(spool)), remark=source)
    except (OSError, PacificaFSError) as error:
        return Snapshot(remark=f"{reason}, and the journals in {spool} cannot be read: {error}")


def one(mount: MountPoint, archive: str, name: str, seconds: float = limited.SECONDS) -> Upload | None:
    """The newest state of one bundle; None if the mount has none of that name (any more)."""
    path = mount.path / "status" / "uploads" / archive / name / "status.json"
    try:
        text = limited.call(path.read_bytes, seconds, f"the mount at {mount.path}")
    except FileNotFoundError:
        return None
    upload: Upload = msgspec.json.decode(text)
    return upload


def places_of(outside: Outside, mount: MountPoint | None, file: Path | None) -> config.Places:
    """The folders of the configuration `file`, or of a mount that was made of an address. ConfigError."""
    url = mount.source if mount is not None and file is None and "://" in mount.source else ""
    settings = outside.of_url(url) if url else config.load(file, outside.environ)
    places = config.places(settings, outside.environ)
    return config.apart(places, url) if url else places


def config_of(mount: MountPoint) -> Path | None:
    """The configuration file that a mount names as its source, if it is one."""
    path = Path(mount.source)
    return path if path.is_absolute() and path.is_file() else None


def _read(status: Path, history: bool) -> dict[str, Any]:
    """All that `status` needs, as bytes; runs in a child process and may hang there."""
    # A folder that just is not there belongs to a mount that is dead or is none: that is an error, not "no uploads".
    os.listdir(status)
    return {
        "uploads": _bundles(status / "uploads", history),
        "downloads": _optional(status / "downloads.json"),
        "cache": _optional(status / "cache.json"),
        "archives": [(status / "archives" / name).read_bytes() for name in _names(status / "archives") if "." in name],
    }


def _bundles(folder: Path, history: bool) -> list[bytes]:
    found: list[bytes] = []
    waiting = [folder]
    while waiting and len(found) < MANY:
        here = waiting.pop()
        text = _optional(here / "status.json")
        if text is not None:
            found.append(text)
            waiting += [here / ".history" / name for name in _names(here / ".history")] if history else []
            continue
        # A layout such as {project}/{name} makes names with folders in them.
        names = [name for name in _names(here) if not name.startswith(".")]
        waiting += [here / name for name in reversed(names) if (here / name).is_dir()]
    return found


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _optional(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
