"""`pacifica-fs retry`."""

from __future__ import annotations

from pathlib import Path

import click

from .asking import Asked
from .codes import Exit
from .naming import full
from .output import Output, printable
from .outside import Outside

HELP = """Try the bundle NAME again: what is held or failed is checked and sent again; what is unconfirmed is looked for
in the archive now.

What may have arrived is never sent a second time: before it is sent, the archive is asked for it. With --again, files
are sent too that the archive has already from this folder (`already in transaction N`); this works until a day after
the bundle was found to be known. Without a mount the wish is noted, and done by the next one.

\b
Examples:
  pacifica-fs retry run-42
  pacifica-fs retry --again emsl/run-42
"""


@click.command("retry", help=HELP, short_help="Try a held or failed bundle again.")
@click.option("--again", is_flag=True, help="Send also files that the archive has already.")
@click.option("-m", "--mount", "dir", type=Path, metavar="DIR", help="Which mount, if several.")
@click.option("-c", "--config", "file", type=Path, metavar="FILE", help="The mount, or the spool, of this one.")
@click.argument("name")
@click.pass_obj
def command(outside: Outside, again: bool, dir: Path | None, file: Path | None, name: str) -> Exit:
    """Retry."""
    asked = Asked(outside, dir, file, name)
    now = asked.ask("retry", again=again)
    what = "is tried again" if now else "will be tried again by the next mount"
    Output().line(f"{printable(full(asked.upload))} {what}")
    return Exit.OK
