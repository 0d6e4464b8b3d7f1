"""`pacifica-fs cp`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from ..errors import NotFound, WaitTimeout
from .codes import STATES, Exit, Failed
from .output import Output, printable, remark, size
from .outside import Outside, Tree
from .source import OPTION, configured
from .wait import over, sentence

HELP = """Copy files of the archives to this machine, or a folder into the drop, without a mount.

PATH is as in a mount, without its mount point. A file appears under its name once it is whole and verified; one that is
there with the same size and time is not copied again. With TARGET below drop/ it is the other way round: the local
folder becomes the bundle drop/ARCHIVE/NAME, and the command returns when it is ingested or needs somebody, with an exit
code as `pacifica-fs wait`.

\b
Examples:
  pacifica-fs cp emsl/transactions/67/a.raw .
  pacifica-fs cp -r emsl/transactions/67 ~/copy
  pacifica-fs cp -r run-42 drop/emsl/run-42
"""
PAUSE = 0.1


@click.command("cp", help=HELP, short_help="Copy from the archives, or into the drop, without a mount.")
@click.option("-r", "-R", "recursive", is_flag=True, help="Folders with all that is in them.")
@OPTION
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@click.argument("target")
@click.pass_obj
def command(outside: Outside, recursive: bool, source: str, paths: tuple[str, ...], target: str) -> Exit:
    """Copy."""
    settings, places = configured(outside, source)
    if target.startswith("drop/"):
        if len(paths) != 1 or not recursive or not Path(paths[0]).is_dir():
            raise Failed("one local folder becomes a bundle: cp -r FOLDER drop/ARCHIVE/NAME", Exit.USAGE)
        with outside.tree(settings, places, uploads=True) as tree:
            return _drop(outside, tree, Path(paths[0]), target.strip("/"))
    with outside.tree(settings, places) as tree:
        total = count = 0
        for path in paths:
            for copied in _fetch(tree, path.strip("/"), Path(target), recursive, len(paths) > 1):
                count, total = count + 1, total + copied
    Output().line(f"{count} files, {size(total)}")
    return Exit.OK


def _fetch(tree: Tree, path: str, target: Path, recursive: bool, several: bool) -> Iterator[int]:
    """Copy one file or folder; the size of each file that was copied."""
    top = tree.item(path)
    if several and not target.is_dir():
        raise Failed(f"{target}: not a folder", Exit.USAGE)
    if target.is_dir():
        target = target / (top.name or "archives")
    if not top.folder:
        yield from _file(tree, path, top, target)
        return
    if not recursive:
        raise Failed(f"{path} is a folder; copy it with -r", Exit.USAGE)
    waiting = [(path, target)]
    while waiting:
        here, into = waiting.pop()
        into.mkdir(parents=True, exist_ok=True)
        for item in tree.items(here):
            if item.folder:
                waiting.append((f"{here}/{item.name}", into / item.name))
            elif not item.target:
                yield from _file(tree, f"{here}/{item.name}", item, into / item.name)


def _file(tree: Tree, path: str, item: Any, target: Path) -> Iterator[int]:
    try:
        there = target.stat()
        if item.size and (there.st_size, int(there.st_mtime)) == (item.size, int(item.mtime)):
            return
    except FileNotFoundError:
        pass
    new = target.with_name(f".{target.name}.part")
    written = 0
    try:
        with new.open("wb") as stream:
            for data in tree.read(path):
                stream.write(data)
                written += len(data)
        os.utime(new, (item.mtime, item.mtime))
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)
    yield written


def _drop(outside: Outside, tree: Tree, folder: Path, target: str) -> Exit:
    parts = target.split("/")
    if len(parts) < 3:
        raise Failed(f"{target}: write drop/ARCHIVE/NAME", Exit.USAGE)
    tree.make(target)
    for base, folders, files in os.walk(folder):
        folders.sort()
        below = Path(base).relative_to(folder).as_posix()
        into = target if below == "." else f"{target}/{below}"
        if below != ".":
            tree.make(into)
        for name in sorted(files):
            file = Path(base) / name
            if file.is_symlink() or not file.is_file():
                remark(f"not taken: {printable(file)}")
            else:
                tree.put(file, f"{into}/{name}")
    tree.commit(target)
    return _wait(outside, tree, "/".join(parts[1:]))


def _wait(outside: Outside, tree: Tree, name: str) -> Exit:
    status, before = f"status/uploads/{name}/status.json", ""
    while True:
        try:
            upload = msgspec.json.decode(b"".join(tree.read(status)))
        except (NotFound, WaitTimeout):
            upload = {}
        state = str(upload.get("state", ""))
        if state and state != before:
            tail = f"  transaction {upload['transaction']}" if state == "done" else ""
            Output().line(f"{printable(name)}  {state}{tail}")
            before = state
        if over(upload):
            for problem in upload.get("problems") or ():
                remark(f"  {sentence(problem)}")
            return STATES[state]
        outside.clock.sleep(PAUSE)
