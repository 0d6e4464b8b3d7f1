"""The demonstration where nothing can be mounted: the same archive, the same drop, by `ls`, `cat` and `cp`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from .transcript import Transcript


def show(t: Transcript, name: str, missing: Sequence[str]) -> None:
    """All steps; `missing` says what a mount would need."""
    base = "-c", "config.toml"
    t.say("Nothing can be mounted here: " + "; ".join(missing) + ". The same tree works without a mount:")
    t.run("pacifica-fs", "ls", *base)
    t.say("Archive the folder; the command returns when it is ingested.")
    said = t.run("pacifica-fs", "cp", "-r", *base, name, f"drop/here/{name}")
    t.check("its state is done", "done  transaction 1" in said)
    t.run("pacifica-fs", "ls", "-l", *base, "here/transactions/1")
    t.run("pacifica-fs", "cat", *base, "here/transactions/1.json")
    t.say("Read it back.")
    t.run("pacifica-fs", "cp", "-r", *base, "here/transactions/1", "back")
    source, back = t.folder / name, t.folder / "back"
    for path in sorted(_files(source) - {"metadata.json"}):
        t.run("cmp", f"{name}/{path}", f"back/{path}")
        t.check(
            f"{path} came back with its time",
            int(os.stat(source / path).st_mtime) == int(os.stat(back / path).st_mtime),
        )
    t.check("and nothing else", _files(back) == _files(source) - {"metadata.json"})


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
