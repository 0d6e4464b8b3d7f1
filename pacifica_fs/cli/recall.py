"""`pacifica-fs recall`."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from ..errors import WaitTimeout
from . import find, limited
from .asking import CONTROL
from .codes import Exit, Failed
from .output import Output, complain, printable
from .outside import Outside

HELP = """Have files brought back from the tapes of their archive (MyTardis with its HSM app).

A file on tape is listed with its real size, but reading it fails at once with "No medium found": a mere `ls`,
`grep -r` or thumbnailer must not empty a tape library. This command asks the site for the files at each PATH, folders
with all that is in them. It does not wait until they are back, which may take hours: read them later. Whether files may
be recalled at all is for the key `recall` of the archive's configuration to say.

\b
Examples:
  pacifica-fs recall ~/archives/tardis/Title_1/Frames_2/run7.mrc
  pacifica-fs recall ~/archives/tardis/Title_1/Frames_2
"""
SECONDS = 150.0
REQUEST = b'{"do": "recall"}'
_WORDS = {
    errno.EPERM: 'the configuration forbids to recall files of this archive (recall = "never")',
    errno.EROFS: "it is not in an archive that has tapes",
    errno.EHOSTDOWN: "the archive is out of reach",
    errno.ENOTSUP: "it is not in an archive",
}


@click.command("recall", help=HELP, short_help="Have files brought back from an archive's tapes.")
@click.argument("paths", nargs=-1, required=True, type=Path, metavar="PATH...")
@click.pass_obj
def command(outside: Outside, paths: tuple[Path, ...]) -> Exit:
    """Recall."""
    output = Output()
    requested = there = failed = 0
    for path in paths:
        find.mount(outside, path)
        for file in _files(path):
            try:
                limited.call(_asking(file), SECONDS, str(file))
            except OSError as error:
                # What is found in a folder besides its archive's files (documents) is on no tape either.
                if error.errno == errno.EEXIST or (error.errno == errno.EROFS and file != path):
                    there += 1
                    continue
                failed += 1
                complain(Failed(f"{file}: {_WORDS.get(error.errno or 0) or error.strerror}", Exit.FAILED))
            else:
                requested += 1
                output.line(f"{printable(str(file))}: its recall was requested")
    output.line(f"{requested} requested, {there} not on tape, {failed} failed")
    return Exit.FAILED if failed else Exit.OK


def _files(path: Path) -> Iterator[Path]:
    """`path`, or all files below it. Failed where it cannot be looked at."""
    todo = [path]
    while todo:
        here = todo.pop()
        try:
            listed: list[list[Any]] | None = limited.call(_listing(here), SECONDS, str(here))
        except WaitTimeout as error:
            raise Failed(str(error), Exit.NO_MOUNT) from error
        if listed is None:
            yield here
            continue
        for name, is_folder in listed:
            if is_folder:
                todo.append(here / name)
            else:
                yield here / name


def _listing(path: Path) -> Callable[[], list[list[Any]] | None]:
    def work() -> list[list[Any]] | None:
        if not os.path.isdir(path):
            os.stat(path)
            return None
        with os.scandir(path) as entries:
            return sorted([entry.name, entry.is_dir(follow_symlinks=False)] for entry in entries)

    return work


def _asking(file: Path) -> Callable[[], None]:
    return lambda: os.setxattr(file, CONTROL, REQUEST)
