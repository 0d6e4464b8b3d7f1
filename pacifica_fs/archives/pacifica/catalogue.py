"""What a listing is asked of: the policy service, or the metadata service where a site lets its users reach it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from ...errors import NotFound
from ...model import Container, Listing

# What containers can be selected by, and the field of a transaction's row that has it.
FIELDS = {"project": "project", "instrument": "instrument", "user": "submitter"}


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
        """Transactions whose fields (keys of FIELDS) have these values, newest first, at most `limit`."""

    def transaction(self, id: str) -> Transaction:
        """One transaction; NotFound."""

    def files(self, id: str) -> Sequence[Mapping[str, Any]]:
        """The rows of its files; NotFound."""


def query(where: Mapping[str, str]) -> dict[str, str]:
    """`where` by the names of a row's fields; NotFound for what a transaction has not."""
    unknown = sorted(set(where) - set(FIELDS))
    if unknown:
        raise NotFound(f"transactions are not listed by {unknown[0]}")
    return {FIELDS[name]: value for name, value in where.items()}


def listing(found: Mapping[str, Container], limit: int, more: bool) -> Listing[Container]:
    """Found transactions, by id, as a listing, newest (the highest id) first."""
    entries = sorted(found.values(), key=lambda entry: int(entry.id), reverse=True)
    more = more or len(entries) > limit
    remark = "The site numbers its transactions: the number is the name of the folder." if more else ""
    return Listing(tuple(entries[:limit]), not more, remark)
