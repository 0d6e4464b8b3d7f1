"""`pacifica-fs verify`."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import Corrupt
from . import inside, pool
from .codes import Exit
from .copying import THERE, intact
from .inside import Item
from .outside import Outside
from .progress import Progress

HELP = """Compare what is in the cache with the digests that the archives claim.

Each PATH is a file or folder below a mount. What is not in the cache is not fetched. What was damaged on disk is thrown
away, told of, and fetched again when it is read. Every file was compared once when it was fetched: this finds what
the disk did to it since.

\b
Examples:
  pacifica-fs verify ~/archives/emsl/transactions/67
"""


@click.command("verify", help=HELP, short_help="Compare what is in the cache with its digests.")
@click.option(
    "--from-file", "listed", type=Path, metavar="LIST", help="Take paths from this file, one a line (-: stdin)."
)
@click.option("-j", "--jobs", type=click.IntRange(1, 64), default=2, show_default=True, help="Files at once.")
@click.option("-q", "--quiet", is_flag=True, help="No line for a file that is right.")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.pass_obj
def command(outside: Outside, listed: Path | None, jobs: int, quiet: bool, paths: tuple[str, ...]) -> Exit:
    """Verify."""
    roots = inside.roots(outside, paths, listed)
    unlisted: list[tuple[str, OSError]] = []
    items = [item for root in roots for item in inside.walk(root, lambda path, error: unlisted.append((path, error)))]
    with Progress(sum(item.size for item in items), quiet) as progress:
        for path, error in unlisted:
            progress.fail(path, error)

        def work(item: Item) -> str:
            if inside.state(item.path) not in THERE:
                return ""
            right = intact(item, progress.moved)
            if right is None:
                return "unverified"
            if not right:
                raise Corrupt("it was damaged in the cache; it is fetched again when it is read")
            return "verified"

        for item, result in pool.each(items, work, jobs):
            if isinstance(result, Exception):
                progress.fail(item.path, result)
            else:
                progress.done(item.path, result)
    return progress.summary("verified", "unverified")
