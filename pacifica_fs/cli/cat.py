"""`pacifica-fs cat`."""

from __future__ import annotations

import sys

import click

from .codes import Exit
from .outside import Outside
from .source import OPTION, configured

HELP = """Write files of the archives to standard output without a mount. What ends without an error is verified.

PATH is as in a mount, without its mount point.

\b
Examples:
  pacifica-fs cat emsl/transactions/67.json
  pacifica-fs cat emsl/transactions/67/a.raw | sha1sum
"""


@click.command("cat", help=HELP, short_help="Write files of the archives to standard output, without a mount.")
@OPTION
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@click.pass_obj
def command(outside: Outside, source: str, paths: tuple[str, ...]) -> Exit:
    """Write."""
    with outside.tree(*configured(outside, source)) as tree:
        for path in paths:
            for data in tree.read(path):
                sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    return Exit.OK
