"""`pacifica-fs umount`."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import PacificaFSError, WaitTimeout
from . import find, snapshot
from .codes import Exit, Failed
from .naming import full
from .output import printable, remark
from .outside import MountPoint, Outside
from .snapshot import Upload
from .wait import Time, over

READING = 3.0
ENDING = 5.0
HELP = """Unmount DIR; without DIR your only mount.

Also clears away a mount whose daemon is gone ("Transport endpoint is not connected"). What was dropped and is not yet
ingested stays in the spool and goes on at the next mount; it is listed here. A mount in use is not unmounted, unless
with --lazy: then it disappears from the tree at once, and ends when the last program lets go of it.

\b
Examples:
  pacifica-fs umount
  pacifica-fs umount ~/archives
  pacifica-fs umount --lazy ~/archives
  pacifica-fs umount --wait --timeout 2h
"""


@click.command("umount", help=HELP, short_help="Unmount.")
@click.option("--lazy", is_flag=True, help="Unmount also while it is in use.")
@click.option(
    "--wait", is_flag=True, help="First wait until nothing goes on by itself: all is done, or needs somebody."
)
@click.option("-t", "--timeout", type=Time(), metavar="TIME", help="With --wait: unmount after this time in any case.")
@click.argument("dir", type=Path, required=False)
@click.pass_obj
def command(outside: Outside, lazy: bool, wait: bool, timeout: float | None, dir: Path | None) -> Exit:
    """Unmount."""
    mount = find.mount(outside, dir)
    if mount is None:
        raise Failed("nothing is mounted", Exit.NO_MOUNT)
    if dir is not None and mount.path != find.real(dir):
        raise Failed(f"{dir} is inside the mount {mount.path}; give that", Exit.USAGE)
    if wait:
        _await(outside, mount, timeout)
    waiting = _unfinished(mount)
    outside.unmount(mount.path, lazy)
    _settle(outside, mount, lazy)
    for upload in waiting:
        name = printable(full(upload))
        remark(f"not yet ingested, kept in the spool: {name} ({upload.get('state')}); it goes on at the next mount")
    return Exit.OK


def _await(outside: Outside, mount: MountPoint, timeout: float | None) -> None:
    """Until every bundle is done or needs somebody, an open one that gets no more files included."""
    clock = outside.clock
    deadline = None if timeout is None else clock.monotonic() + timeout
    pause = 0.1
    while going := [full(upload) for upload in _unfinished(mount) if not over(upload)]:
        if deadline is not None and clock.monotonic() >= deadline:
            remark(f"still under way: {', '.join(map(printable, going))}")
            return
        clock.sleep(pause)
        pause = min(pause * 1.5, 2.0)


def _settle(outside: Outside, mount: MountPoint, lazy: bool) -> None:
    """Let the daemon end, so that whoever mounts again at once gets the spool."""
    try:
        places = snapshot.places_of(outside, mount, snapshot.config_of(mount))
    except PacificaFSError:
        return
    if not outside.settle(places.state / "spool", mount.path, ENDING) and not lazy:
        remark(f"the daemon of {mount.path} is still ending an upload; wait a moment before you mount again")


def _unfinished(mount: MountPoint) -> list[Upload]:
    try:
        return snapshot.from_mount(mount, READING).unfinished
    except (WaitTimeout, OSError, ValueError, PacificaFSError):
        # Somebody who wants to get rid of a mount that does not answer must not be kept from it.
        return []
