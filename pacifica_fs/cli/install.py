"""`pacifica-fs install`."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import sys
from pathlib import Path

import click

from . import placing
from .codes import Exit, Failed
from .output import remark
from .outside import Outside

HELP = """Put in place what lies outside this program: mount.pacifica-fs for mount(8) and fstab, systemd units, man
pages, shell completions, and the word in /etc/updatedb.conf that keeps locate from reading archives.

As root everything goes below /usr/local, and mount.pacifica-fs into /sbin. Nothing is written anywhere without this
command. With --remove the same files are taken away again; configuration, cache and spool stay: what was dropped and is
not yet ingested is never deleted.

With --mount-point a folder is made of mode 0000 and immutable (chattr +i): what is copied there while nothing is
mounted is refused, even to root.

\b
Examples:
  sudo pacifica-fs install
  pacifica-fs install --user                        # a unit, man pages and completions in your home
  pacifica-fs install --dry-run --prefix /opt/x
  sudo pacifica-fs install --mount-point /srv/emsl
  sudo pacifica-fs install --remove
"""
_GET, _SET, _IMMUTABLE = 0x80086601, 0x40086602, 0x10


@click.command("install", help=HELP, short_help="Put units, man pages, completions and mount.pacifica-fs in place.")
@click.option("--prefix", type=Path, metavar="DIR", help="Below which folder; default /usr/local.")
@click.option("--user", is_flag=True, help="In your home: ~/.local and ~/.config/systemd/user.")
@click.option("--remove", is_flag=True, help="Take the same files away again.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--program", metavar="PATH", hidden=True, help="What units start; for packages.")
@click.option(
    "--mount-point", "point", type=Path, metavar="DIR", help="Only make this mount point, 0000 and immutable."
)
@click.pass_context
def command(
    context: click.Context,
    prefix: Path | None,
    user: bool,
    remove: bool,
    dry_run: bool,
    program: str | None,
    point: Path | None,
) -> Exit:
    """Install."""
    outside: Outside = context.obj
    if user and prefix:
        raise click.UsageError("--user or --prefix")
    if point is not None:
        return _point(outside, point, remove, dry_run)
    group = context.find_root().command
    assert isinstance(group, click.Group)
    home = Path.home()
    base = home / ".local" if user else Path(os.path.abspath(prefix or "/usr/local"))
    helper = None if user else Path("/sbin/mount.pacifica-fs") if prefix is None else base / "sbin/mount.pacifica-fs"
    program = program or shutil.which("pacifica-fs") or str(Path(sys.executable).with_name("pacifica-fs"))
    files = placing.plan(group, base, user, helper, program)
    for file in files:
        if remove:
            if file.path.exists():
                click.echo(f"remove {file.path}")
                if not dry_run:
                    file.path.unlink()
        else:
            click.echo(f"write {file.path}")
            if not dry_run:
                placing.write(file)
    if not user and prefix is None:
        _prune(remove, dry_run)
    if remove:
        remark("configuration, cache and spool were left; bundles in the spool go on at the next mount")
    elif not dry_run:
        remark("next: systemctl" + (" --user" if user else "") + " daemon-reload")
    return Exit.OK


def _prune(remove: bool, dry_run: bool) -> None:
    file = placing.UPDATEDB
    try:
        text = file.read_text()
    except OSError:
        return  # no locate here
    new = placing.pruned(text, remove)
    if new != text:
        click.echo(f"edit {file}: PRUNEFS {'without' if remove else 'with'} {placing.TYPE}")
        if not dry_run:
            placing.write(placing.Placed(file, new, file.stat().st_mode & 0o777))


def _point(outside: Outside, point: Path, remove: bool, dry_run: bool) -> Exit:
    """A mount point that swallows nothing; with `remove` an ordinary empty folder again."""
    point = Path(os.path.abspath(point))
    if any(mount.path == point for mount in outside.mounts()):
        raise Failed(f"{point}: something is mounted there; unmount it first", Exit.FAILED)
    if point.is_dir() and os.access(point, os.R_OK) and any(point.iterdir()):
        raise Failed(f"{point}: not empty; move what is in it to where it belongs first", Exit.FAILED)
    click.echo(f"{point}: mode {'0755' if remove else '0000, immutable'}")
    if dry_run:
        return Exit.OK
    point.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(point, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _immutable(descriptor, False)
        os.fchmod(descriptor, 0o755 if remove else 0)
        if not remove and not _immutable(descriptor, True):
            remark(f"{point}: this file system or user cannot make it immutable: root could still write there")
    finally:
        os.close(descriptor)
    return Exit.OK


def _immutable(descriptor: int, on: bool) -> bool:
    """Set or clear the flag; False where that is not possible."""
    try:
        flags = struct.unpack("l", fcntl.ioctl(descriptor, _GET, b"\0" * 8))[0]
        wanted = flags | _IMMUTABLE if on else flags & ~_IMMUTABLE
        if wanted != flags:
            fcntl.ioctl(descriptor, _SET, struct.pack("l", wanted))
    except OSError:
        return False
    return True


def immutable(path: Path) -> bool:
    """Whether a folder has the flag."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        return bool(struct.unpack("l", fcntl.ioctl(descriptor, _GET, b"\0" * 8))[0] & _IMMUTABLE)
    except OSError:
        return False
    finally:
        os.close(descriptor)
