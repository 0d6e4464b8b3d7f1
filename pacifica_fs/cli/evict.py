"""`pacifica-fs evict`."""

from __future__ import annotations

import errno
import time
from pathlib import Path

import click

from ..errors import PacificaFSError
from . import inside, pool
from .codes import Exit
from .copying import THERE
from .inside import Item
from .outside import Outside
from .progress import Progress

HELP = """Remove files from the cache. They stay in their archives, and are fetched again when they are read.

Each PATH is a file or folder below a mount, a folder with all that is in it.

The cache keeps below its limit by itself: this is for what is known not to be needed again. What is open, or kept by
`pacifica-fs pin`, is not removed.

\b
Examples:
  pacifica-fs evict ~/archives/emsl/transactions/67
"""
CLOSING = 2.0  # seconds: the kernel tells of a close a little later, and a new file is on its way to disk
WORDS = {
    errno.EBUSY: "it is open; close what reads it and try again",
    errno.EPERM: "it is pinned; pacifica-fs pin --unpin lets it go",
    errno.EACCES: "only who made this mount says what is in its cache",
}


@click.command("evict", help=HELP, short_help="Remove files from the cache.")
@click.option(
    "--from-file", "listed", type=Path, metavar="LIST", help="Take paths from this file, one a line (-: stdin)."
)
@click.option("-q", "--quiet", is_flag=True, help="No line for a file that went well.")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.pass_obj
def command(outside: Outside, listed: Path | None, quiet: bool, paths: tuple[str, ...]) -> Exit:
    """Evict."""
    return apply(outside, paths, listed, quiet, "evict", "evicted", ("partial", *THERE))


def apply(
    outside: Outside,
    paths: tuple[str, ...],
    listed: Path | None,
    quiet: bool,
    do: str,
    done: str,
    states: tuple[str, ...],
) -> Exit:
    """Have the daemon `do` something with each file at or below `paths` that is in one of `states` (empty: in any)."""
    roots = inside.roots(outside, paths, listed)
    progress = Progress(0, quiet)
    items = [item for root in roots for item in inside.walk(root, progress.fail)]

    def work(item: Item) -> str:
        found = inside.state(item.path)
        if not found or (states and found not in states):
            return ""
        until = time.monotonic() + CLOSING
        while True:
            try:
                inside.ask(item.path, do)
                break
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > until:
                    raise PacificaFSError(WORDS.get(error.errno or 0) or inside.said(error)) from error
            time.sleep(0.1)
        progress.moved(item.size)
        return done

    for item, result in pool.each(items, work, 4):
        if isinstance(result, Exception):
            progress.fail(item.path, result)
        else:
            progress.done(item.path, result)
    return progress.summary(done)
