"""`pacifica-fs init`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from .. import config
from . import known
from .codes import Exit, Failed
from .output import remark
from .outside import Outside

HELP = """Write a commented configuration, with what other programs of yours know already.

It looks at pacifica-cli's ~/.pacifica_cli/config.ini (or /etc/pacifica-cli/config.ini), datajoint's dj_local_conf.json
here or ~/.datajoint_config.json, and mytardisclient's ~/.config/mytardisclient/mytardisclient.cfg. Secrets are not
copied: it says where each belongs. Without any of these the configuration has one `local` archive, and examples.

\b
Examples:
  pacifica-fs init                   # ~/.config/pacifica-fs/config.toml
  pacifica-fs init -o site.toml
  pacifica-fs init -o -              # only show it
"""


@click.command("init", help=HELP, short_help="Write a commented configuration from what other programs know.")
@click.option("-o", "--output", "target", metavar="FILE", help="Where to; - is standard output.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.pass_obj
def command(outside: Outside, target: str | None, force: bool) -> Exit:
    """Write."""
    found = known.everything(outside.environ, Path.cwd())
    text = known.document(found)
    if target == "-":
        click.echo(text, nl=False)
        return Exit.OK
    file = Path(target).expanduser() if target else config.user_file(outside.environ)
    if file.exists() and not force:
        raise Failed(f"{file} is there already; give another with -o, or --force", Exit.FAILED)
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        stream.write(text)
    config.load(new)  # what we write must be what we read
    new.replace(file)
    for each in found:
        remark(f"{each.name}: from {each.source}" + (f"; {each.secret}" if each.secret else ""))
    click.echo(f"wrote {file}; next: pacifica-fs check", file=sys.stdout)
    return Exit.OK
