"""What a local archive can keep, said before a byte is copied. Pure functions; no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from ...model import Bundle, BundleFile, Metadata, Problem
from ...paths import unfit
from .record import encode, record


def problems(bundle: Bundle, room: int) -> list[Problem]:
    """Everything of `bundle` that cannot be kept; `room` is how many bytes a path may have."""
    return [*_metadata(bundle.metadata), *_storable(bundle), *_paths(bundle.files, room), *_digests(bundle.files)]


def _metadata(metadata: Metadata) -> Iterator[Problem]:
    for (key, value), times in Counter(metadata.keys).items():
        if times > 1:
            yield Problem(f"the key/value pair '{key}' = '{value}' is there {times} times", "keep one of them")


def _storable(bundle: Bundle) -> Iterator[Problem]:
    header = Bundle(bundle.id, bundle.archive, bundle.name, (), bundle.metadata)
    try:
        encode(record(header, "1", "", 0.0))
    except (TypeError, ValueError, RecursionError) as error:
        yield Problem(f"the metadata cannot be kept as JSON: {error}", "use plain text, numbers, lists and tables")


def _paths(files: Iterable[BundleFile], room: int) -> Iterator[Problem]:
    paths = Counter(file.path for file in files)
    folders = {path[:end] for path in paths for end, letter in enumerate(path) if letter == "/"}
    for path, times in paths.items():
        shown = path.encode("utf-8", "backslashreplace").decode()
        reason = _unstorable(path, room)
        if reason:
            yield Problem(f"'{shown}' cannot be kept: {reason}", "rename it", shown)
        if times > 1:
            yield Problem(f"'{shown}' is there {times} times", "keep one of them", shown)
        if path in folders:
            yield Problem(f"'{shown}' is a file and a folder at once", "rename one of them", shown)


def _unstorable(path: str, room: int) -> str:
    if reason := unfit(path):
        return reason
    size = len(path.encode())
    return f"its path has {size} bytes, at most {room} are possible in this archive" if size > room else ""


def _digests(files: Iterable[BundleFile]) -> Iterator[Problem]:
    for algorithm, path in {file.digest.algorithm: file.path for file in files if not file.digest.computable}.items():
        yield Problem(f"this machine cannot compute the hash '{algorithm}'", "choose another 'hash'", path)
