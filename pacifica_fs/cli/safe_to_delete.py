"""`pacifica-fs safe-to-delete`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from . import find, snapshot
from .codes import Exit, Failed
from .output import Output, printable, remark
from .outside import Outside
from .snapshot import Upload

HELP = """Say which files of FOLDER are in an archive: each file is read, and its digest looked for in the receipts of
what was uploaded from here.

A file counts as safe where an upload with exactly these bytes is done and the archive listed the same digest
afterwards. A bundle's sidecar counts where the metadata was taken from these bytes. The exit code is 0 if everything in
FOLDER is safe, and 1 if something is not; that is listed. Links and other things that are no files are never safe.

\b
Examples:
  pacifica-fs safe-to-delete ~/run-42 && rm -r ~/run-42
  pacifica-fs safe-to-delete -v ~/run-42
"""

CHUNK = 4 << 20


class Place(msgspec.Struct, frozen=True):
    """Where these bytes are; `verified` only where the archive confirmed their digest."""

    text: str
    path: str
    verified: bool


@click.command("safe-to-delete", help=HELP, short_help="Say which files of a folder are in an archive, verified.")
@click.option("-v", "--verbose", is_flag=True, help="List also what is safe, and where it is.")
@click.option("-m", "--mount", "dir", type=Path, metavar="DIR", help="Which mount, if several.")
@click.option("-c", "--config", "file", type=Path, metavar="FILE", help="The mount, or the spool, of this one.")
@click.argument("folder", type=Path)
@click.pass_obj
def command(outside: Outside, verbose: bool, dir: Path | None, file: Path | None, folder: Path) -> Exit:
    """Compare."""
    if not folder.is_dir():
        raise Failed(f"{folder} is not a folder", Exit.USAGE)
    mount = find.mount(outside, dir, file)
    seen = snapshot.everything(outside, mount, file)
    if seen.remark:
        remark(f"pacifica-fs: {seen.remark}")
    known = receipts(seen.uploads)
    output = Output()
    safe = unsafe = 0
    for name, verdict, fine in look(folder, known):
        safe, unsafe = safe + fine, unsafe + (not fine)
        if verbose or not fine:
            output.line(f"{'safe    ' if fine else 'NOT SAFE'}  {printable(name)}: {verdict}", "ok" if fine else "red")
    output.line(f"{safe} of {safe + unsafe} are in an archive" + ("" if unsafe else "; all of it is safe to delete"))
    return Exit.FAILED if unsafe else Exit.OK


Known = Mapping[tuple[str, int, str], Sequence[Place]]


def receipts(uploads: Sequence[Upload]) -> Known:
    """All places of all bytes, by algorithm, size and digest."""
    found: dict[tuple[str, int, str], list[Place]] = {}
    for upload in uploads:
        receipt = upload.get("receipt") or {}
        if upload.get("state") != "done" or not receipt:
            continue
        where = f"{receipt['archive']}, transaction {receipt['transaction']}"
        for entry in receipt.get("files") or ():
            place = Place(f"{where}: {entry['path']}", entry["path"], entry.get("verified") == "digest")
            found.setdefault(_key(entry), []).append(place)
        sidecar = receipt.get("sidecar")
        if sidecar:
            found.setdefault(_key(sidecar), []).append(Place(f"metadata of {where}", sidecar["path"], True))
    return found


def look(folder: Path, known: Known) -> Iterator[tuple[str, str, bool]]:
    """Each thing in `folder`: its path there, the verdict in words, and whether it is safe."""
    algorithms = sorted({algorithm for algorithm, _, _ in known})
    sizes = {size for _, size, _ in known}
    for base, folders, files in os.walk(folder, onerror=_raise):
        folders.sort()
        for name in sorted([*files, *(one for one in folders if os.path.islink(os.path.join(base, one)))]):
            path = os.path.join(base, name)
            shown = os.path.relpath(path, folder)
            if os.path.islink(path) or not os.path.isfile(path):
                yield shown, "not a file", False
                continue
            size = os.path.getsize(path)
            places = _places(path, size, shown, algorithms, known) if size in sizes else []
            best = next((one for one in places if one.verified), None)
            if best:
                yield shown, printable(best.text), True
            elif places:
                yield shown, f"{printable(places[0].text)}, but the archive confirmed only its size", False
            else:
                yield shown, "in no archive, as far as the receipts of this machine tell", False


def _places(path: str, size: int, shown: str, algorithms: Sequence[str], known: Known) -> list[Place]:
    hashers = {algorithm: hashlib.new(algorithm, usedforsecurity=False) for algorithm in algorithms}
    with open(path, "rb", buffering=0) as stream:
        while data := stream.read(CHUNK):
            for hasher in hashers.values():
                hasher.update(data)
        if os.fstat(stream.fileno()).st_size != size:
            return []
    found = [place for a, hasher in hashers.items() for place in known.get((a, size, hasher.hexdigest()), ())]
    return sorted(found, key=lambda place: place.path != shown)


def _key(entry: Mapping[str, Any]) -> tuple[str, int, str]:
    algorithm, _, value = str(entry["digest"]).partition(":")
    return algorithm, int(entry["size"]), value


def _raise(error: OSError) -> None:
    raise error
