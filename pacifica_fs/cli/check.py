"""`pacifica-fs check`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from .. import config
from ..errors import ConfigError, PacificaFSError
from . import examine, surroundings
from .codes import Exit
from .findings import Finding, wrong
from .output import Output, printable
from .outside import Outside

HELP = """Check everything that a mount needs, and say what to do about what is wrong.

It looks at the configuration, at FUSE (/dev/fuse, libfuse3, fusermount3), at limits (open files, the kernel's for
FUSE), at the folders for the spool and the cache, the room there and whether they are on a network's disk, for secrets
that others can read, at the mount points that /etc/fstab has for this configuration (or -m DIR): whether they take
files while nothing is mounted, and asks each archive's servers for a sign of life, as whom they know you, and for
the time. It needs no mount and changes nothing on a server. The exit code is 0 if all is well, 1 if something is wrong,
and 2 if the configuration cannot be read.

With SIDECAR and --archive it is a dry run: would this archive take data with this metadata.json or metadata.yaml?
Nothing is sent.

\b
Examples:
  pacifica-fs check
  pacifica-fs check -c site.toml -m /mnt/archives
  pacifica-fs check --json | jq -r '.[] | select(.level == "wrong") | .text'
  pacifica-fs check run-42/metadata.json --archive emsl
"""


@click.command("check", help=HELP, short_help="Check the configuration, FUSE and each archive; or a sidecar.")
@click.option("-c", "--config", "file", type=Path, metavar="FILE", help="The configuration.")
@click.option("-m", "--mount-point", "point", type=Path, metavar="DIR", help="Where it is to be mounted.")
@click.option("--json", "as_json", is_flag=True, help="A list of what was found: subject, level, text, remedy.")
@click.option("-a", "--archive", metavar="NAME", help="Which archive the sidecar is for.")
@click.argument("sidecar", type=Path, required=False)
@click.pass_obj
def command(
    outside: Outside, file: Path | None, point: Path | None, as_json: bool, archive: str | None, sidecar: Path | None
) -> Exit:
    """Check."""
    settings = config.load(file, outside.environ)
    places = config.places(settings, outside.environ)
    if sidecar is not None:
        takers = [each.name for each in settings.archives]
        if archive is None and len(takers) != 1:
            raise ConfigError(f"say with --archive for which archive the sidecar is: {', '.join(takers)}")
        return report(outside.dry_run(settings, places, sidecar, archive or takers[0]), as_json)
    if archive is not None:
        raise ConfigError("--archive is for a sidecar; give its file too")
    found = [
        examine.configuration(settings, outside.environ),
        *examine.secrets(settings),
        *examine.access(settings),
        *examine.fuse(settings.mount.allow_other or settings.mount.access != "me"),
        *surroundings.limits(),
        *examine.folders(settings, places),
        *surroundings.disks(places),
        *surroundings.points(settings, outside.mounts(), point),
        *_archives(outside, settings, places),
        *surroundings.clock(outside.skews(settings)),
    ]
    return report(found, as_json)


def _archives(outside: Outside, settings: config.Config, places: config.Places) -> list[Finding]:
    try:
        return list(outside.probe(settings, places))
    except ConfigError as error:
        return [wrong("archives", str(error), "Correct the configuration.")]
    except PacificaFSError as error:
        return [wrong("archives", str(error), "Correct the configuration, or try again later.")]


def report(found: Sequence[Finding], as_json: bool = False) -> Exit:
    """Print the findings; FAILED if one of them is wrong."""
    output = Output()
    bad = sum(finding.level == "wrong" for finding in found)
    if as_json:
        output.line(msgspec.json.encode(found).decode())
        return Exit.FAILED if bad else Exit.OK
    for finding in found:
        style = {"ok": "green", "remark": "yellow", "wrong": "red"}[finding.level]
        output.line(f"{finding.level:<7} {printable(finding.subject)}: {printable(finding.text)}", style)
        if finding.remedy:
            output.line(f"        {printable(finding.remedy)}")
    if bad:
        output.line(f"{bad} of {len(found)} checks found something wrong")
        return Exit.FAILED
    return Exit.OK
