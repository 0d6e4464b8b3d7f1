"""What cannot become a resource by its path or name, said before a byte is sent. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from ...model import BundleFile, Problem
from ...paths import unfit


def paths(files: Iterable[BundleFile]) -> Iterator[Problem]:
    """Paths that are none, are there twice, or are a folder as well."""
    counted = Counter(file.path for file in files)
    folders = {path[:end] for path in counted for end, letter in enumerate(path) if letter == "/"}
    for path, times in counted.items():
        shown = path.encode("utf-8", "backslashreplace").decode()
        if reason := unfit(path):
            yield Problem(f"'{shown}' cannot be a file of a package: {reason}", "Rename it.", shown)
        if times > 1:
            yield Problem(f"the same path is there {times} times", "Rename all but one.", shown)
        if path in folders:
            yield Problem("a file and a folder have the same name", "Rename one of them.", shown)


def names(wanted: Mapping[str, str]) -> Iterator[Problem]:
    """Resources (path → name) of one package that would have the same name."""
    counted = Counter(wanted.values())
    for path, name in wanted.items():
        if counted[name] > 1:
            yield Problem(f"{counted[name]} files ask for the name '{name}'", 'Give each its own "name".', path)
