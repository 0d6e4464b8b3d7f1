"""`pacifica-fs drop`."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import click

from . import find, snapshot
from .asking import CONTROL, encode
from .codes import Exit, Failed
from .output import Output, printable, remark, size
from .outside import MountPoint, Outside

HELP = """Put the files of the folder DIR into the bundle ARCHIVE/NAME, as `cp -r` would, but without writing them twice
where that can be avoided, and say that the bundle is complete.

Files come into the spool by shared blocks (reflink) where the disk can do that, or as a hard link where the file may
not be written by anybody (mode 0444) and nobody has it open for writing; all others are copied. What is there already
with the same size and time is left alone, so it can be run again after it was interrupted. DIR itself stays as it is.
Links and empty folders are not taken, and are listed.

\b
Examples:
  pacifica-fs drop ~/run-42 emsl/run-42
  pacifica-fs drop --open ~/run-42 emsl/run-42      # more will come
"""

_COPY = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.EACCES, errno.EPERM, errno.ENOENT, errno.EINVAL})
CHUNK = 4 << 20


@click.command("drop", help=HELP, short_help="Put a folder into the drop without writing it twice.")
@click.option("--open", "more", is_flag=True, help="Do not say that the bundle is complete.")
@click.option("-m", "--mount", "dir", type=Path, metavar="DIR", help="Which mount, if several.")
@click.option("-c", "--config", "file", type=Path, metavar="FILE", help="The mount of this configuration.")
@click.argument("folder", type=Path, metavar="DIR")
@click.argument("target", metavar="ARCHIVE/NAME")
@click.pass_obj
def command(outside: Outside, more: bool, dir: Path | None, file: Path | None, folder: Path, target: str) -> Exit:
    """Drop."""
    if not folder.is_dir():
        raise Failed(f"{folder} is not a folder", Exit.USAGE)
    mount = find.mount(outside, dir, file)
    if mount is None:
        raise Failed("nothing is mounted", Exit.NO_MOUNT)
    archive, _, name = target.strip("/").partition("/")
    if not name:
        raise Failed(f"'{target}': write ARCHIVE/NAME", Exit.USAGE)
    into = mount.path / "drop" / archive / name
    into.mkdir(parents=True, exist_ok=True)
    work = Work(mount, find.real(folder), into, _bundle(mount, archive, name))
    try:
        work.run()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        free = os.statvfs(into).f_bavail * os.statvfs(into).f_frsize
        raise Failed(
            f"the drop is full: it has room for {size(free)} more ([drop] limit and min_free, and the disk). What is "
            f"in {printable(target)} stays there; make room and run this again, or `pacifica-fs discard` it",
            Exit.FAILED,
        ) from error
    if not more:
        (into / ".commit").touch()
    for path in work.left:
        remark(f"not taken: {printable(path)}")
    there = f", {size(work.there)} there already" if work.there else ""
    Output().line(
        f"{work.files} files, {size(work.total)} in {printable(target)}: {size(work.taken)} taken without a copy, "
        f"{size(work.copied)} copied{there}"
    )
    return Exit.OK


def _bundle(mount: MountPoint, archive: str, name: str) -> str:
    upload = snapshot.one(mount, archive, name)
    if upload is None:
        raise Failed(f"the mount does not show the bundle {archive}/{name}", Exit.UNKNOWN_BUNDLE)
    return str(upload["id"])


class Work:
    """One folder on its way into one bundle."""

    def __init__(self, mount: MountPoint, folder: Path, into: Path, id: str) -> None:
        self.mount, self.folder, self.into, self.id = mount, folder, into, id
        self.files = self.total = self.taken = self.copied = self.there = 0
        self.left: list[str] = []

    def run(self) -> None:
        """All files, with a progress bar on a terminal."""
        found = self._found()
        self.total = sum(length for _, length in found)
        with click.progressbar(length=max(self.total, 1), label=f"{len(found)} files", file=sys.stderr) as bar:
            for path, length in found:
                self._one(path, length, bar.update)

    def _found(self) -> list[tuple[str, int]]:
        found: list[tuple[str, int]] = []
        for base, folders, files in os.walk(self.folder):
            folders.sort()
            here = os.path.relpath(base, self.folder)
            links = [name for name in folders if os.path.islink(os.path.join(base, name))]
            if not files and not folders and here != ".":
                self.left.append(f"{here}/")
            for name in sorted([*files, *links]):
                path = os.path.normpath(os.path.join(here, name))
                if os.path.islink(self.folder / path) or not os.path.isfile(self.folder / path):
                    self.left.append(path)
                else:
                    found.append((path, os.path.getsize(self.folder / path)))
        return found

    def _one(self, path: str, length: int, progress: Callable[[int], None]) -> None:
        self.files += 1
        if self._there(path):
            self.there += length
            progress(length)
            return
        (self.into / path).parent.mkdir(parents=True, exist_ok=True)
        if self._take(path):
            self.taken += length
            progress(length)
            return
        with open(self.folder / path, "rb") as source, open(self.into / path, "wb") as copy:
            while data := source.read(CHUNK):
                copy.write(data)
                progress(len(data))
        shutil.copystat(self.folder / path, self.into / path)
        self.copied += length

    def _there(self, path: str) -> bool:
        """It came before: same size and time, as rsync takes it."""
        try:
            before, now = os.lstat(self.into / path), os.lstat(self.folder / path)
        except FileNotFoundError:
            return False
        return (before.st_size, before.st_mtime_ns) == (now.st_size, now.st_mtime_ns)

    def _take(self, path: str) -> bool:
        data = encode("take", self.id, source=str(self.folder / path), path=path)
        try:
            os.setxattr(self.mount.path / "drop", CONTROL, data)
        except OSError as error:
            if error.errno in _COPY or error.errno == errno.EEXIST:
                return False
            raise
        return True
