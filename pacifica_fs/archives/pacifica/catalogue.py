"""What a listing is asked of: the policy service, or the metadata service where a site lets its users reach it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from ...model import Container, Group, Listing


class Transaction(msgspec.Struct, frozen=True):
    """All that is known of one transaction: its detailed row, key/values in order, release state with DOIs if known."""

    row: Mapping[str, Any]
    keys: tuple[tuple[str, str], ...]
    release: Mapping[str, Any] = {}


class Candidate(msgspec.Struct, frozen=True):
    """A transaction that may hold a bundle. `keys` shows only one value of each key."""

    id: str
    files: int
    keys: Mapping[str, str]


class Catalogue(Protocol):
    """Lists and looks up transactions. Safe for any thread; all methods ask the server."""

    def newest(self, where: Mapping[str, str], limit: int) -> Listing[Container]:
        """Transactions that match (see `selection`), newest first, at most `limit`. NotFound if a value is unknown."""

    def transaction(self, id: str) -> Transaction:
        """One transaction; NotFound."""

    def files(self, id: str) -> Sequence[Mapping[str, Any]]:
        """The rows of its files; NotFound."""

    def groups(self, dimension: str, where: Mapping[str, str]) -> Listing[Group]:
        """The values of a dimension; NotFound for what this catalogue cannot list, or for an unknown value."""

    def group(self, dimension: str, where: Mapping[str, str], name: str) -> Group:
        """One value by its name; NotFound."""

    def version(self) -> str:
        """What is another text once a transaction was added or taken away, or got a key; cheap."""


def listing(found: Mapping[str, Container], limit: int, more: bool) -> Listing[Container]:
    """Found transactions, by id, as a listing, newest (the highest id) first."""
    entries = sorted(found.values(), key=lambda entry: int(entry.id), reverse=True)
    more = more or len(entries) > limit
    remark = "The site numbers its transactions: the number is the name of the folder." if more else ""
    return Listing(tuple(entries[:limit]), not more, remark)
