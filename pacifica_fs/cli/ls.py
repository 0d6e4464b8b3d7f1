"""`pacifica-fs ls`."""

from __future__ import annotations

import time

import click

from .codes import Exit
from .output import Output, printable
from .outside import Outside
from .source import OPTION, configured

HELP = """List folders of the archives without a mount: where there is no FUSE, or for a quick look.

PATH is as in a mount, without its mount point: emsl/transactions/67. Without it the top is listed.

\b
Examples:
  pacifica-fs ls
  pacifica-fs ls -l emsl/transactions/67
  pacifica-fs ls -c ckan+https://data.example.org data.example.org
"""


@click.command("ls", help=HELP, short_help="List folders of the archives, without a mount.")
@click.option("-l", "long", is_flag=True, help="With size and time.")
@OPTION
@click.argument("paths", nargs=-1, metavar="[PATH]…")
@click.pass_obj
def command(outside: Outside, long: bool, source: str, paths: tuple[str, ...]) -> Exit:
    """List."""
    output = Output()
    with outside.tree(*configured(outside, source)) as tree:
        for path in paths or ("",):
            if len(paths) > 1:
                output.line(f"{printable(path)}:")
            for item in sorted(tree.items(path), key=lambda item: item.name):
                name = printable(item.name) + ("/" if item.folder else "")
                name += f" -> {printable(item.target)}" if item.target else ""
                when = time.strftime("%Y-%m-%d %H:%M", time.localtime(item.mtime))
                output.line(f"{'-' if item.folder else item.size:>14}  {when}  {name}" if long else name)
    return Exit.OK
