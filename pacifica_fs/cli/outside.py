"""The only way from the commands to the rooms below; tests put a pretence in its place.

Everything is imported when it is used, so that `--help` needs nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import msgspec

from ..clock import Clock
from ..config import Config, Places
from .findings import Finding
from .options import Parsed


class MountPoint(msgspec.Struct, frozen=True):
    """A mount of this program: where, of what (`source` is what `df` shows), and whether this user made it."""

    path: Path
    source: str = ""
    mine: bool = True


class Tree(Protocol):
    """A tree without a mount (`service.bare.Bare`); paths have no leading slash."""

    def item(self, path: str) -> Any:
        """What is at a path: `name folder size mtime target`."""

    def items(self, path: str) -> Sequence[Any]:
        """What is in a folder."""

    def read(self, path: str) -> Iterator[bytes]:
        """A file's content."""

    def put(self, source: Path, path: str) -> None:
        """Copy a local file into the drop."""

    def make(self, path: str) -> None:
        """Make a folder in the drop."""

    def commit(self, path: str) -> None:
        """Say that a bundle is complete."""


class Outside(Protocol):
    """What commands need of the world."""

    clock: Clock
    environ: Mapping[str, str]

    def mounts(self) -> Sequence[MountPoint]:
        """All mounts of this program that the kernel lists, the newest last; asks none of them anything."""

    def of_url(self, url: str) -> Config:
        """The configuration of one archive that is known by its address; ConfigError."""

    def unmount(self, path: Path, lazy: bool) -> None:
        """Unmount; PacificaFSError says why not."""

    def settle(self, spool: Path, path: Path, seconds: float) -> bool:
        """Wait until the daemon of the mount that was at `path` has let go of `spool`; False if it has not in time."""

    def uploads(self, spool: Path) -> Sequence[Mapping[str, Any]]:
        """The bundles of a spool from its journals, with the fields of `status.json`."""

    def queue(self, spool: Path, request: Mapping[str, Any]) -> None:
        """Note a request for the next daemon of `spool`; Failed where there is no spool."""

    def start(self, arguments: Sequence[str]) -> None:
        """Start the daemon `python ARGUMENTS`; returns when its mount answers, else raises Failed with its error."""

    def serve(self, config: Config, places: Places, mountpoint: Path, parsed: Parsed, verbosity: int) -> None:
        """Mount and serve until it is unmounted; logs to standard error."""

    def failed(self, message: str, code: int) -> None:
        """Tell whoever started this daemon and waits for it why it ends; nothing where nobody waits."""

    def tree(self, config: Config, places: Places, uploads: bool = False) -> AbstractContextManager[Tree]:
        """The tree without a mount, while the context lasts; `uploads`: with a drop that works."""

    def probe(self, config: Config, places: Places) -> Sequence[Finding]:
        """What `App.check` finds about the archives."""

    def skews(self, config: Config) -> Mapping[str, float]:
        """Seconds by which each server's clock is before this machine's; servers that do not answer are left out."""

    def dry_run(self, config: Config, places: Places, sidecar: Path, archive: str) -> Sequence[Finding]:
        """What keeps a sidecar from being accepted by an archive; nothing is sent."""
