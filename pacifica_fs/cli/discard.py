"""`pacifica-fs discard`."""

from __future__ import annotations

from pathlib import Path

import click

from .asking import Asked
from .codes import Exit, Failed
from .naming import full
from .output import Output, plain, printable, size
from .outside import Outside

HELP = """Forget the bundle NAME, with all its files in the spool. This cannot be undone.

What is being sent, ingested or looked for cannot be discarded, and what is done is in the archive. Without a mount the
wish is noted, and done by the next one.

\b
Examples:
  pacifica-fs discard run-42
  pacifica-fs discard --yes emsl/run-42
"""


@click.command("discard", help=HELP, short_help="Forget a bundle and its files.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("-m", "--mount", "dir", type=Path, metavar="DIR", help="Which mount, if several.")
@click.option("-c", "--config", "file", type=Path, metavar="FILE", help="The mount, or the spool, of this one.")
@click.argument("name")
@click.pass_obj
def command(outside: Outside, yes: bool, dir: Path | None, file: Path | None, name: str) -> Exit:
    """Discard."""
    asked = Asked(outside, dir, file, name)
    upload = asked.upload
    named = printable(full(upload))
    if upload.get("state") == "done":
        raise Failed(f"{named} is done: transaction {plain(upload.get('transaction'))}", Exit.FAILED)
    if not yes:
        what = f"{plain(upload.get('files'))} files, {size(upload.get('bytes'))}, {upload.get('state')}"
        click.confirm(f"Forget {named} ({what})? Its files are not in the archive", abort=True)
    now = asked.ask("discard")
    Output().line(f"{named} {'is discarded' if now else 'will be discarded by the next mount'}")
    return Exit.OK
