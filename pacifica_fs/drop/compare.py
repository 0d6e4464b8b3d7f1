"""Does the archive list what was sent? Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..model import FileRef, Problem
from .journal import Entry


def matched(entries: Iterable[Entry], listed: Sequence[FileRef]) -> tuple[list[tuple[Entry, FileRef]], list[Problem]]:
    """Pairs of what was sent and what the archive lists, and every difference between the two.

    Path and size must be equal, and the digest where both are of one algorithm.
    """
    by_path: dict[str, list[FileRef]] = {}
    for ref in listed:
        by_path.setdefault("/".join(ref.parts), []).append(ref)
    pairs: list[tuple[Entry, FileRef]] = []
    problems: list[Problem] = []
    for entry in entries:
        if entry.role != "data":
            continue
        refs = by_path.get(entry.path)
        if not refs:
            problems.append(Problem("was sent, but the archive does not list it", path=entry.path))
            continue
        ref = next((one for one in refs if not _difference(entry, one)), refs[0])
        refs.remove(ref)
        if what := _difference(entry, ref):
            problems.append(Problem(what, path=entry.path))
        else:
            pairs.append((entry, ref))
    for path, refs in by_path.items():
        problems += [Problem("is listed by the archive, but was not sent", path=path) for _ in refs]
    return pairs, problems


def _difference(entry: Entry, ref: FileRef) -> str:
    if ref.size != entry.size:
        return f"the archive lists {ref.size} bytes, {entry.size} were sent"
    if ref.digest is not None:
        algorithm, _, value = entry.digest.partition(":")
        if ref.digest.algorithm == algorithm and ref.digest.value.lower() != value:
            return f"the archive lists {ref.digest}, {entry.digest} was sent"
    return ""
