"""Which bytes to ask a server for next: a pure decision."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from .ranges import Ranges

FAR = 8 * 2**20  # a wait of less than this is cheaper than another request
JUMPS = 8  # so many scattered reads, and the whole of a small file is worth fetching
MOST = 512  # the same for a large one
PART = 2**21  # bytes of a file for which it takes one more
WINDOW = 128 * 2**10  # the least of a range request somewhere inside a file; more where a program reads on there
WIDEST = 64 * 2**20


class Demand(msgspec.Struct, frozen=True):
    """A read that waits for `[start, end)`; `whole`: it gets them only once all content is verified."""

    start: int
    end: int
    whole: bool


class Plan(msgspec.Struct, frozen=True):
    """Ask for bytes from `start`; done at `stop`, or where the server ends if None. `jump`: far from what is there."""

    start: int
    stop: int | None
    jump: bool = False


def patience(size: int) -> int:
    """After how many scattered reads of a file of `size` bytes the rest of it is fetched as well."""
    return min(MOST, max(JUMPS, size // PART))


def plan(ranges: Ranges, size: int, demands: Sequence[Demand], jumps: int, can_range: bool) -> Plan | None:
    """The next request for a file of `size` bytes of which `ranges` are there; None if nothing needs to be fetched now.

    `jumps` counts the scattered requests so far. Without `can_range` there is only one way: all, from the start.
    """
    first = next(ranges.gaps(0, size), None)
    if first is None:
        return None
    if not can_range:
        return Plan(0, None)
    if jumps < patience(size) and not any(demand.whole for demand in demands):
        missing = [gap for demand in demands for gap in ranges.gaps(demand.start, demand.end)]
        if missing:
            start = min(missing)[0]
            jump = start > first[0] + FAR
            if jump or jumps:
                stop = next(ranges.gaps(start, size))[1]
                read = ranges.before(start)
                window = max(min(missing)[1], start + min(max(WINDOW, 2 * read), WIDEST))
                return Plan(start, None if min(stop, window) >= size else min(stop, window), jump and not read)
        elif jumps:
            return None
    start, stop = first
    return Plan(start, None if stop >= size else stop)


def redirected(position: int, ranges: Ranges, demands: Sequence[Demand], jumps: int, most: int = JUMPS) -> bool:
    """True where a stream that is at `position` should be left: somebody waits for bytes far from it."""
    if jumps >= most or any(demand.whole for demand in demands):
        return False
    gaps = [next(ranges.gaps(one.start, one.end), None) for one in demands]
    starts = [gap[0] for gap in gaps if gap is not None]
    return bool(starts) and not any(position <= start <= position + FAR for start in starts)
