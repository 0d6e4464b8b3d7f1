"""From samples by name to results: ours beside each peer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..result import Result

OURS = "ours"
Samples = dict[str, list[float]]


def beside(
    what: str, unit: str, samples: Mapping[str, list[float]], goals: Mapping[str, float], note: str = ""
) -> Iterator[Result]:
    """One result for each peer; `goals` are ratios by peer."""
    for peer, theirs in samples.items():
        if peer != OURS and theirs:
            yield Result(what, unit, samples[OURS], peer, theirs, goals.get(peer), note=note)
