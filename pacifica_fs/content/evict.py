"""Which blobs go when room is needed: a pure choice."""

from __future__ import annotations

from collections.abc import Container, Iterable

import msgspec


class Candidate(msgspec.Struct, frozen=True):
    """One blob on this disk.

    `size` in bytes as it counts against the limit, `used` the last use, seconds since the epoch.
    """

    name: str
    size: int
    used: float


def choose(candidates: Iterable[Candidate], need: int, held: Container[str] = ()) -> list[Candidate]:
    """The least recently used blobs that give back `need` bytes together, none of them `held` (open or pinned).

    All that may go, if that is less than `need`. Nothing where `need` is not positive.
    """
    chosen: list[Candidate] = []
    if need <= 0:
        return chosen
    for candidate in sorted(candidates, key=lambda one: (one.used, one.name)):
        if need <= 0:
            break
        if candidate.name not in held and candidate.size > 0:
            chosen.append(candidate)
            need -= candidate.size
    return chosen
