"""Reading beside `requests`: a large file's first byte and all of it, and many small files in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..bench import MIB, Bench, timed, warm
from ..result import Result
from .listing import fresh, known
from .site import peer, served

_FIRST = """
path = "/api/v1/dataset_file/%d/download/" % given["id"]
get("/api/v1/?format=json")  # ours has a connection, too
def first():
    with get(path, stream=True) as answer:
        next(answer.iter_content(1))
result["seconds"] = timed(first)
"""
_WHOLE = """
path = "/api/v1/dataset_file/%d/download/" % given["id"]
get("/api/v1/?format=json")
def whole():
    with get(path, stream=True) as answer:
        for _ in answer.iter_content(1 << 20):
            pass
result["seconds"] = timed(whole)
"""
_SMALL = """
get("/api/v1/?format=json")
def one_by_one():
    for id in given["ids"]:
        get("/api/v1/dataset_file/%d/download/" % id).content
result["seconds"] = timed(one_by_one)
"""


def first_byte(bench: Bench) -> Iterator[Result]:
    """The first byte of the large file, its listing known and nothing of it cached."""
    yield from _large(bench, "first byte", _FIRST, _first, 1.2)


def sequential(bench: Bench) -> Iterator[Result]:
    """All of the large file."""
    yield from _large(bench, "sequential read", _WHOLE, _all, 1.15)


def small(bench: Bench) -> Iterator[Result]:
    """All small files, in the order of their names."""
    ours, theirs = [], []
    with served(bench) as tardis, bench.mount({"archives": {"tardis": tardis.table()}}) as mount:
        files = [file for file in tardis.site.files.values() if file.dataset == 3]
        paths = [mount.path / "tardis" / "1" / "3" / file.filename for file in files]
        for _ in range(bench.rounds):
            fresh(mount)
            known(mount)
            warm(paths[0])
            ours.append(timed(lambda: [_all(path) for path in paths]))
            theirs.append(peer(tardis, _SMALL, ids=[file.id for file in files])["seconds"])
    yield Result(f"{len(files)} small files in order", "s", ours, "requests, one by one", theirs, goal=0.5)


def _large(bench: Bench, what: str, code: str, read: object, goal: float) -> Iterator[Result]:
    ours, theirs = [], []
    with served(bench) as tardis, bench.mount({"archives": {"tardis": tardis.table()}}) as mount:
        (file,) = [file for file in tardis.site.files.values() if file.dataset == 2]
        path = mount.path / "tardis" / "1" / "2" / file.filename
        for _ in range(bench.rounds):
            fresh(mount)
            known(mount)
            warm(path)
            ours.append(timed(lambda: read(path)))  # type: ignore[operator]
            theirs.append(peer(tardis, code, id=file.id)["seconds"])
    yield Result(f"{what} of {len(file.data) // MIB} MiB", "s", ours, "requests", theirs, goal=goal)


def _first(path: Path) -> None:
    with path.open("rb", buffering=0) as stream:
        if not stream.read(1):
            raise EOFError(path)


def _all(path: Path) -> None:
    buffer = bytearray(MIB)
    with path.open("rb", buffering=0) as stream:
        while stream.readinto(buffer):
            pass
