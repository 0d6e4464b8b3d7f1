"""`pacifica-fs pin`."""

from __future__ import annotations

from pathlib import Path

import click

from . import inside
from .codes import Exit
from .evict import apply
from .fetch import JOBS, fetch
from .outside import Outside

HELP = """Keep files in the cache: fetch them, and never evict them to make room.

Each PATH is a file or folder below a mount, a folder with all that is in it.

They can be read without their archive's server then. Pins outlive a restart; status/cache.json lists them. An eighth of
the cache's limit stays free for what is not pinned.

\b
Examples:
  pacifica-fs pin ~/archives/emsl/transactions/67
  pacifica-fs pin --unpin ~/archives/emsl/transactions/67
"""


@click.command("pin", help=HELP, short_help="Keep files in the cache.")
@click.option("--unpin", is_flag=True, help="Keep them no longer; they stay until room is needed.")
@click.option(
    "--from-file", "listed", type=Path, metavar="LIST", help="Take paths from this file, one a line (-: stdin)."
)
@click.option("-q", "--quiet", is_flag=True, help="No line for a file that went well.")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.pass_obj
def command(outside: Outside, unpin: bool, listed: Path | None, quiet: bool, paths: tuple[str, ...]) -> Exit:
    """Pin."""
    if unpin:
        return apply(outside, paths, listed, quiet, "unpin", "unpinned", ())
    roots = inside.roots(outside, paths, listed)
    pinned = apply(outside, tuple(roots), None, True, "pin", "pinned", ())
    return max(pinned, fetch(outside, roots, None, JOBS, quiet))
