"""`pacifica-fs fetch`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from . import inside, pool
from .codes import Exit, Failed
from .copying import copy_out, into_cache
from .inside import Item
from .outside import Outside
from .progress import Progress
from .together import Together

HELP = """Fetch files from their archives into the cache, or copy them out.

Each PATH is a file or folder below a mount: a transaction, a revision of a dataset, a dataset or a part of one. All
files in it are fetched, several at once, each compared with the digest that its archive claims. What is in the cache
already is compared too, and fetched again only if it was damaged, so an interrupted fetch goes on where it was.

With --to the files are copied to DIR, as cp -r would: PATH becomes DIR/NAME, PATH/. what is in it. Copies have the
archive's times, appear when they are complete, and are left alone where they are right already.

\b
Examples:
  pacifica-fs fetch ~/archives/emsl/transactions/67
  pacifica-fs fetch ~/archives/elements/some-set/000/. --to ./some-set-000 --create
  find ~/archives/emsl/recent -name '*.raw' | pacifica-fs fetch --from-file -
"""
JOBS = 4


@click.command("fetch", help=HELP, short_help="Fetch files into the cache, or copy them out.")
@click.option("--to", "to", type=Path, metavar="DIR", help="Copy the files to this folder.")
@click.option("--create", is_flag=True, help="Make DIR if it does not exist.")
@click.option(
    "--from-file", "listed", type=Path, metavar="LIST", help="Take paths from this file, one a line (-: stdin)."
)
@click.option("-j", "--jobs", type=click.IntRange(1, 64), default=JOBS, show_default=True, help="Files at once.")
@click.option("-q", "--quiet", is_flag=True, help="No line for a file that went well.")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.pass_obj
def command(
    outside: Outside, to: Path | None, create: bool, listed: Path | None, jobs: int, quiet: bool, paths: tuple[str, ...]
) -> Exit:
    """Fetch."""
    roots = inside.roots(outside, paths, listed)
    if create and to is None:
        raise Failed("--create is for --to", Exit.USAGE)
    if to is not None:
        _target(outside, to, create)
    return fetch(outside, roots, to, jobs, quiet)


def fetch(outside: Outside, roots: Sequence[str], to: Path | None, jobs: int, quiet: bool) -> Exit:
    """Fetch all files at and below `roots`, into the cache or to the folder `to`."""
    unlisted: list[tuple[str, OSError]] = []
    found = {root: inside.walk(root, lambda path, error: unlisted.append((path, error))) for root in roots}
    items = [item for root in roots for item in found[root]]
    if to is not None:
        _distinct(items)
    together = Together(outside)
    for root, below in found.items():
        # Some archives bring all of a folder in one stream; others do not know this request.
        try:
            inside.ask(root, "fetch")
        except OSError:
            together.add(root, [item.path for item in below])
    with Progress(sum(item.size for item in items), quiet) as progress:
        for path, error in unlisted:
            progress.fail(path, error)

        before = {item.path: _state(item.path) for item in items} if to is None else {}

        def work(item: Item) -> str:
            together.want(item.path)
            if to is None:
                return into_cache(item, before[item.path], progress.moved)
            return copy_out(item, to / item.below, progress.moved)

        for item, result in pool.each(items, work, jobs):
            if isinstance(result, Exception):
                progress.fail(item.path, result)
            else:
                progress.done(item.path, result)
    return progress.summary("fetched" if to is None else "copied", "there")


def _state(path: str) -> str:
    try:
        return inside.state(path)
    except OSError:
        return "unknown"  # reading it will say what is wrong


def _target(outside: Outside, to: Path, create: bool) -> None:
    if not to.exists():
        if not create:
            raise Failed(f"{to}: there is no such folder; --create makes it", Exit.USAGE)
        to.mkdir(parents=True)
    elif not to.is_dir():
        raise Failed(f"{to}: not a folder", Exit.USAGE)
    if any(os.path.realpath(to).startswith(f"{mount.path}/") for mount in outside.mounts()):
        raise Failed(f"{to}: archives are read-only; to put files into one, copy them to drop/", Exit.USAGE)


def _distinct(items: Sequence[Item]) -> None:
    seen: dict[str, str] = {}
    for item in items:
        other = seen.setdefault(item.below, item.path)
        if other != item.path:
            raise Failed(f"{other} and {item.path} would both become {item.below}; fetch them apart", Exit.USAGE)
