"""Which line has the headings, and what the DataStore can call the columns. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from .types import looks_typed

LONGEST = 63
"""Bytes of a column's name in PostgreSQL."""
WIDEST = 1000
"""Columns; CKAN answers tables that are much wider with a server fault."""


def filled(row: Sequence[str]) -> int:
    """Cells that are not empty."""
    return sum(1 for cell in row if cell and not cell.isspace())


def heading_row(sample: Sequence[Sequence[str]]) -> tuple[int, bool] | None:
    """Which of the first rows begins the table, and whether it has the headings; None if all are empty.

    It is the first row that is about as full as most rows, so that a title above is none. A row of which every cell is
    a number or a time is data.
    """
    counts = Counter(count for count in map(filled, sample) if count)
    if not counts:
        return None
    usual = max(counts.items(), key=lambda item: (item[1], item[0]))[0]
    found = next(index for index, row in enumerate(sample) if _begins(row, usual))
    cells = [cell.strip() for cell in sample[found] if cell.strip()]
    return found, not all(map(looks_typed, cells))


def _begins(row: Sequence[str], usual: int) -> bool:
    """Of two columns the first may have no heading (an index); one cell alone is a title."""
    count = filled(row)
    return count >= usual or (count == usual - 1 and (count > 1 or (count == 1 and not row[0].strip())))


def names(headings: Sequence[str]) -> list[str]:
    """A distinct name that the DataStore allows for each heading, in their order."""
    taken: set[str] = set()
    result = []
    for number, heading in enumerate(headings, 1):
        wanted = clean(heading) or f"column_{number}"
        name, again = wanted, 1
        while name in taken:
            again += 1
            name = _cut(wanted, LONGEST - len(f"_{again}")) + f"_{again}"
        taken.add(name)
        result.append(name)
    return result


def clean(heading: str) -> str:
    """A heading without what the DataStore does not allow; may be empty."""
    text = " ".join(heading.replace("\0", "").replace('"', "").split())
    return _cut(text.lstrip("_ "), LONGEST).strip()


def _cut(text: str, size: int) -> str:
    return text.encode("utf-8", "replace")[:size].decode("utf-8", "ignore")
