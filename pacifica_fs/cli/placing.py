"""What `pacifica-fs install` puts where, as a plan: files with their content, links, and edits. Reads; `apply` writes.

PREFIX/sbin/mount.pacifica-fs            for mount(8); in /sbin, unless --prefix or --user says otherwise
PREFIX/lib/systemd/system/…              the units (user: lib/systemd/user, or ~/.config/systemd/user)
PREFIX/share/man/man1, man8              man pages
PREFIX/share/bash-completion/completions, zsh/site-functions, fish/vendor_completions.d
/etc/updatedb.conf                       PRUNEFS gets fuse.pacifica-fs, so that locate does not read archives
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
from click.shell_completion import get_completion_class

from .manual import pages

TYPE = "fuse.pacifica-fs"
UPDATEDB = Path("/etc/updatedb.conf")
UNITS = Path(__file__).parents[1] / "systemd"
COMPLETIONS = {
    "bash": "share/bash-completion/completions/pacifica-fs",
    "zsh": "share/zsh/site-functions/_pacifica-fs",
    "fish": "share/fish/vendor_completions.d/pacifica-fs.fish",
}
_PRUNEFS = re.compile(r"""^(\s*PRUNEFS\s*=\s*["']?)([^"'\n]*)""", re.MULTILINE)
_NAME = re.compile(r"^(ExecStart=)pacifica-fs\b", re.MULTILINE)


class Placed(msgspec.Struct, frozen=True):
    """One file of the plan."""

    path: Path
    content: str
    mode: int = 0o644


def plan(cli: click.Group, prefix: Path, user: bool, helper: Path | None, program: str) -> list[Placed]:
    """All files. `program` is the absolute path of `pacifica-fs`; `helper` where mount(8) looks, None for none."""
    found = [*_units(prefix, user, program)]
    if helper is not None:
        interpreter = shlex.quote(sys.executable)
        run = "import sys; from pacifica_fs.cli.mount_helper import main; sys.exit(main())"
        text = f'#!/bin/sh\n# Placed by pacifica-fs install.\nexec {interpreter} -c "{run}" "$@"\n'
        found.append(Placed(helper, text, 0o755))
    for name, page in pages(cli).items():
        found.append(Placed(prefix / f"share/man/man{name[-1]}" / name, page))
    for shell, path in COMPLETIONS.items():
        kind = get_completion_class(shell)
        if kind is not None:
            found.append(Placed(prefix / path, kind(cli, {}, "pacifica-fs", "_PACIFICA_FS_COMPLETE").source()))
    return found


def pruned(text: str, remove: bool = False) -> str:
    """updatedb.conf with, or without, our type in PRUNEFS; as it was where it has none."""

    def edit(match: re.Match[str]) -> str:
        words = [word for word in match[2].split() if word != TYPE]
        return match[1] + " ".join(words if remove else [*words, TYPE])

    before = _PRUNEFS.search(text)
    if before is None or (TYPE in before[2].split()) != remove:
        return text
    return _PRUNEFS.sub(edit, text, count=1)


def write(file: Placed) -> None:
    """Put one file in its place, as a whole."""
    file.path.parent.mkdir(parents=True, exist_ok=True)
    new = file.path.with_name(f".{file.path.name}.new")
    new.write_text(file.content)
    os.chmod(new, file.mode)
    new.replace(file.path)


def _units(prefix: Path, user: bool, program: str) -> Iterator[Placed]:
    for source in sorted(UNITS.rglob("*")):
        mine = source.parent.name == "user"
        if not source.is_file() or (user and not mine) or "example" in source.name:
            continue
        folder = ".config/systemd/user" if user else "lib/systemd/user" if mine else "lib/systemd/system"
        base = Path.home() if user else prefix
        yield Placed(base / folder / source.name, _NAME.sub(rf"\g<1>{program}", source.read_text()))
